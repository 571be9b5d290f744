"""Towers of open_clip: `open_clip:ARCH/TAG`, `open_clip:ARCH/TAG@FILE`, `open_clip:FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from torch import Tensor, nn

from shoplens.errors import MissingError, ModelError
from shoplens.models.hub.preparation import Preparation, square, three
from shoplens.models.hub.repository import Repository, library, licence_of
from shoplens.models.hub.tower import ImageTower
from shoplens.pixels.crops import Fit

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_FITS: dict[str, Fit] = {"shortest": "crop", "squash": "squash", "longest": "pad"}
_PREPARES = ("mean", "std", "interpolation", "resize_mode")
_OPENAI_CACHE = Path("~/.cache/clip")
"""Where open_clip keeps what comes from no hub."""


@dataclass(frozen=True)
class ClipModel:
    """A model of open_clip, both towers."""

    network: Any
    architecture: str
    """What `open_clip.get_tokenizer` takes."""
    title: str
    source: str
    licence: str


def load_open_clip(model: str, rest: str) -> ImageTower:
    """Load the image tower of a model of open_clip.

    Args:
        model: the whole name, for messages.
        rest: an architecture and a tag that open_clip knows (`ViT-B-16/laion2b_s34b_b88k`); the
            same, `@` and a file of the weights; or a folder with open_clip_config.json and
            open_clip_model.safetensors, as open_clip writes for the hub.

    Raises:
        MissingError: open_clip or the weights are not there.
        ModelError: open_clip does not know it, the weights are another model's, or its photos are
            prepared in a way not known here.
    """
    return _tower(model, load_clip(model, rest))


def load_open_clip_repository(model: str, repository: Repository) -> ImageTower:
    """Load an image tower from a repository in open_clip's layout (see `load_open_clip`)."""
    return _tower(model, load_clip_repository(model, repository))


def load_clip(model: str, rest: str) -> ClipModel:
    """Load both towers (see `load_open_clip`)."""
    open_clip: Any = library("open_clip", "open-clip")
    if Path(rest).expanduser().is_dir():
        return load_clip_repository(model, Repository.of(model, rest))
    name, _, file = rest.partition("@")
    architecture, _, tag = name.partition("/")
    if open_clip.get_model_config(architecture) is None:
        raise ModelError(
            f"model {model}: open_clip {open_clip.__version__} has no model {architecture!r}; "
            "`open_clip.list_pretrained()` lists its models. For a model of your own, name a "
            f"folder with {CONFIG}"
        )
    published = _published(open_clip, model, architecture, tag)
    licence = ""
    if file:
        weights, source = Path(file).expanduser(), file
        if not weights.is_file():
            raise MissingError(f"model {model}: no file {weights}")
    else:
        weights, source, licence = _weights(model, published)
    network = _created(
        open_clip,
        model,
        source,
        architecture,
        str(weights),
        force_quick_gelu=bool(published.get("quick_gelu")),
        force_preprocess_cfg={key: published[key] for key in _PREPARES},
    )
    return ClipModel(network, architecture, architecture, source, licence)


def load_clip_repository(model: str, repository: Repository) -> ClipModel:
    """Load both towers from a repository in open_clip's layout."""
    open_clip: Any = library("open_clip", "open-clip")
    # In one folder, also of the hub's cache: open_clip then asks no network.
    folder = repository.file(CONFIG).parent
    repository.file(*WEIGHTS)
    architecture = f"local-dir:{folder}"
    network = _created(open_clip, model, repository.address, architecture)
    return ClipModel(network, architecture, CONFIG, repository.address, licence_of(repository))


def _published(open_clip: Any, model: str, architecture: str, tag: str) -> Mapping[str, Any]:
    """Return what open_clip knows of the weights with a tag, or of those of all tags."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag:
        if tag not in tags:
            raise ModelError(
                f"model {model}: open_clip knows no weights {tag!r} for {architecture}; it knows "
                f"{', '.join(tags) or 'none'}"
            )
        return dict(open_clip.get_pretrained_cfg(architecture, tag))
    known = [open_clip.get_pretrained_cfg(architecture, tag) for tag in tags]
    if len({str([s.get(key) for key in (*_PREPARES, "quick_gelu")]) for s in known}) != 1:
        raise ModelError(
            f"model {model}: how photos are prepared depends on the tag; name one, as in "
            f"open_clip:{architecture}/TAG (known: {', '.join(tags) or 'none'})"
        )
    return {**known[0], "hf_hub": "", "url": ""}


def _weights(model: str, published: Mapping[str, Any]) -> tuple[Path, str, str]:
    """Return published weights, their address and licence."""
    hub_id, _, name = published.get("hf_hub", "").rpartition("/")
    if hub_id:
        repository = Repository(model, hub_id)
        safe = f"{name.rpartition('.')[0]}.safetensors"
        weights = repository.file(*((safe, name) if name else WEIGHTS))
        return weights, repository.address, licence_of(repository)
    url = published.get("url", "")
    if not url:
        raise ModelError(
            f"model {model} does not name its weights; write ARCH/TAG or ARCH/TAG@FILE"
        )
    weights = _OPENAI_CACHE.expanduser() / Path(urlparse(url).path).name
    if not weights.is_file():
        raise MissingError(
            f"model {model}: its weights are not on this machine; copy {url} to {weights}, or "
            f"anywhere, and name it as {model}@FILE"
        )
    return weights, url, ""


def _created(open_clip: Any, model: str, source: str, *arguments: str, **settings: Any) -> Any:
    # Without it, open_clip goes on with random weights when it finds none.
    try:
        network = open_clip.create_model(*arguments, **settings, require_pretrained=True)
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"model {model}: open_clip cannot load {source}: {error}") from error
    return network.eval()


def _tower(model: str, clip: ClipModel) -> ImageTower:
    open_clip: Any = library("open_clip", "open-clip")
    visual = clip.network.visual
    settings = open_clip.transform.PreprocessCfg(**visual.preprocess_cfg)
    return ImageTower(
        model=model,
        network=_Pooled(visual).eval(),
        preparation=preparation_of(model, visual.preprocess_cfg),
        transform=open_clip.transform.image_transform_v2(settings, is_train=False),
        pooling="as open_clip pools, into the space that images share with texts",
        licence=clip.licence,
        sources=(
            f"weights: {clip.source}",
            f"network: open_clip {open_clip.__version__}, {clip.title}",
        ),
    )


class _Pooled(nn.Module):
    """An image tower's vectors alone; some towers return tokens as well."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, x: Tensor) -> Tensor:
        found = self.visual(x)
        pooled: Tensor = found[0] if isinstance(found, tuple) else found
        return pooled


def preparation_of(model: str, settings: Mapping[str, Any]) -> Preparation:
    """Return how photos are prepared by a model's `preprocess_cfg`.

    Raises `ModelError` when that is not known here.
    """
    size = settings["size"]
    mode = settings.get("resize_mode") or "shortest"
    if mode not in _FITS:
        raise ModelError(f"model {model}: open_clip's resize_mode {mode!r} is not known here")
    fill = int(settings.get("fill_color") or 0)
    return Preparation(
        input_size=size if isinstance(size, int) else square(model, size),
        fit=_FITS[mode],
        # As in open_clip: whatever is not bilinear is bicubic.
        interpolation="bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
        crop_share=1.0,
        mean=three(settings["mean"], 255),
        std=three(settings["std"], 255),
        pad_colour=(fill, fill, fill),
    )
