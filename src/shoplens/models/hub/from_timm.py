"""Towers of timm: `timm:NAME`, `timm:NAME@FILE`, `timm:FOLDER`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from shoplens.errors import MissingError, ModelError
from shoplens.models.hub.preparation import Preparation, known_filter, square, three
from shoplens.models.hub.repository import Repository, library, licence_of, read_settings
from shoplens.models.hub.tower import ImageTower
from shoplens.pixels.crops import Fit

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_FITS: dict[str, Fit] = {"center": "crop", "squash": "squash", "border": "pad"}
_PREPARES = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
"""Settings that decide how photos are prepared."""


def load_timm(model: str, rest: str) -> ImageTower:
    """Load a model of timm without its classifier.

    Args:
        model: the whole name, for messages.
        rest: a model that timm knows, with its tag (`vit_small_patch14_dinov2.lvd142m`); the same,
            `@` and a file of its weights; or a folder with config.json and model.safetensors, as
            timm writes for the hub.

    Raises:
        MissingError: timm or the weights are not there.
        ModelError: timm does not know it, the weights are another model's, or its photos are
            prepared in a way not known here.
    """
    timm: Any = library("timm", "timm")
    if Path(rest).expanduser().is_dir():
        return load_timm_repository(model, Repository.of(model, rest))
    name, _, file = rest.partition("@")
    known = timm.get_pretrained_cfg(name)
    if known is None:
        raise ModelError(
            f"model {model}: timm {timm.__version__} knows no weights {name!r}; `timm.list_models("
            "pretrained=True)` lists them"
        )
    if file:
        weights, source = Path(file).expanduser(), file
        if not weights.is_file():
            raise MissingError(f"model {model}: no file {weights}")
        _refuse_ambiguous(timm, model, name)
        licence = known.license or ""
    else:
        weights, source, licence = _published(model, known)
    return _tower(timm, model, name, {"file": str(weights)}, source, licence)


def load_timm_repository(model: str, repository: Repository) -> ImageTower:
    """Load a model from a repository in timm's layout (see `load_timm`)."""
    timm: Any = library("timm", "timm")
    settings = read_settings(repository.file("config.json"))
    weights = repository.file(*_WEIGHTS)
    if not isinstance(settings.get("architecture"), str):
        raise ModelError(f"model {model}: config.json names no architecture of timm")
    own = {**settings, **settings.get("pretrained_cfg", {}), "file": str(weights)}
    known = {key: own[key] for key in (*_PREPARES, "file", "num_classes") if key in own}
    licence = own.get("license") or licence_of(repository)
    name = settings["architecture"]
    extra = {k: v for k, v in settings.get("model_args", {}).items() if k != "num_classes"}
    return _tower(timm, model, name, known, repository.address, licence, extra)


def _published(model: str, known: Any) -> tuple[Path, str, str]:
    """Return the weights that timm publishes, their address and licence."""
    if known.hf_hub_id:
        repository = Repository(model, known.hf_hub_id)
        names = (known.hf_hub_filename,) if known.hf_hub_filename else _WEIGHTS
        weights = repository.file(*names)
        return weights, repository.address, known.license or licence_of(repository)
    if not known.url:
        raise ModelError(f"model {model}: timm publishes no weights for it")
    torch: Any = library("torch", "timm")
    weights = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(known.url).path).name)
    if not weights.is_file():
        raise MissingError(
            f"model {model}: its weights are not on this machine; copy {known.url} to {weights}, "
            f"or anywhere else, and then name it as {model}@FILE"
        )
    return weights, known.url, known.license or ""


def _tower(
    timm: Any,
    model: str,
    name: str,
    overlay: Mapping[str, Any],
    source: str,
    licence: str,
    extra: Mapping[str, Any] | None = None,
) -> ImageTower:
    # With its classifier, which is dropped afterwards: asked for a model without, timm lets weights
    # lack and goes on with random numbers in their place.
    classes = {"num_classes": overlay["num_classes"]} if "num_classes" in overlay else {}
    try:
        network: Any = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **classes, **(extra or {})
        )
        network.reset_classifier(0)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"model {model}: timm cannot load {source}: {error}") from error
    settings = timm.data.resolve_model_data_config(network)
    return ImageTower(
        model=model,
        network=network.eval(),
        preparation=preparation_of(model, settings),
        transform=timm.data.create_transform(**settings, is_training=False),
        pooling="as timm pools for its classifier",
        licence=licence,
        sources=(f"weights: {source}", f"network: timm {timm.__version__}, {name}"),
    )


def preparation_of(model: str, settings: Mapping[str, Any]) -> Preparation:
    """Return how photos are prepared by what `timm.data.resolve_model_data_config` says.

    Raises `ModelError` when that is not known here.
    """
    size = square(model, settings["input_size"][1:])
    mode = settings.get("crop_mode") or "center"
    if mode not in _FITS:
        raise ModelError(f"model {model}: timm's crop_mode {mode!r} is not known here")
    if mode == "border" and settings["crop_pct"] < 1:
        raise ModelError(f"model {model}: timm's crop_mode 'border' is known with crop_pct 1 only")
    mean = three(settings["mean"], 255)
    red, green, blue = (round(value) for value in mean)
    return Preparation(
        input_size=size,
        fit=_FITS[mode],
        interpolation=known_filter(model, settings["interpolation"]),
        # timm resizes to whole pixels.
        crop_share=size / math.floor(size / settings["crop_pct"]),
        mean=mean,
        std=three(settings["std"], 255),
        pad_colour=(red, green, blue),
    )


def _refuse_ambiguous(timm: Any, model: str, name: str) -> None:
    """Refuse a name without tag where the tags differ in how photos are prepared."""
    if "." in name:
        return
    tags = list(timm.list_models(f"{name}.*", pretrained=True))
    known = [timm.get_pretrained_cfg(tag).to_dict() for tag in tags]
    if len({str([settings.get(key) for key in _PREPARES]) for settings in known}) > 1:
        raise ModelError(
            f"model {model}: photos are prepared differently for {', '.join(tags)}; say which of "
            f"them the file holds, as timm:{tags[0]}@FILE"
        )
