"""Vision towers of transformers: `hf:OWNER/NAME`, `hf:FOLDER`.

Repositories of the hub in the layout of open_clip (Marqo's ecommerce embeddings) or timm are handed
on to these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from shoplens.errors import ModelError
from shoplens.models.hub.from_open_clip import CONFIG, load_open_clip_repository
from shoplens.models.hub.from_timm import load_timm_repository
from shoplens.models.hub.preparation import Preparation, known_filter, square, three
from shoplens.models.hub.repository import Repository, library, licence_of, read_settings
from shoplens.models.hub.tower import ImageTower

_CLASSES = {
    "clip": ("CLIPVisionModelWithProjection", "image_embeds"),
    "clip_vision_model": ("CLIPVisionModelWithProjection", "image_embeds"),
    "siglip": ("SiglipVisionModel", "pooler_output"),
    "siglip_vision_model": ("SiglipVisionModel", "pooler_output"),
    "dinov2": ("Dinov2Model", "pooler_output"),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "pooler_output"),
    "dinov3_vit": ("DINOv3ViTModel", "pooler_output"),
    "dinov3_convnext": ("DINOv3ConvNextModel", "pooler_output"),
}
"""By `model_type`: the class of transformers, and what of its output is the photo's vector."""
_FILTERS = {
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
    Image.Resampling.LANCZOS: "lanczos",
    Image.Resampling.HAMMING: "hamming",
}


def load_hf(model: str, rest: str) -> ImageTower:
    """Load a vision tower from a repository of the hub, or a folder in the same layout.

    Args:
        model: the whole name, for messages.
        rest: `OWNER/NAME`, or a folder with config.json, preprocessor_config.json and
            model.safetensors (as `save_pretrained` writes).

    Raises:
        MissingError: transformers or a file is not there.
        ModelError: the architecture, or how its photos are prepared, is not known here, or weights
            lack.
    """
    repository = Repository.of(model, rest)
    config = repository.find("config.json")
    settings = read_settings(config) if config is not None else {}
    if "open_clip_model_name" in settings or (
        "model_type" not in settings and repository.find(CONFIG) is not None
    ):
        return load_open_clip_repository(model, repository)
    if "architecture" in settings and "model_type" not in settings:
        return load_timm_repository(model, repository)
    repository.file("config.json")
    kind = settings.get("model_type", "")
    if kind not in _CLASSES:
        hint = " (NaFlex models take patches: take the variant of a fixed size)" * (
            kind.startswith("siglip2")
        )
        raise ModelError(
            f"model {model}: its model_type {kind!r} is not known here{hint}; known are "
            f"{', '.join(_CLASSES)}"
        )
    class_name, field = _CLASSES[kind]
    if settings.get("architectures") == ["CLIPVisionModel"]:
        class_name, field = "CLIPVisionModel", "pooler_output"
    transformers: Any = library("transformers", "hf")
    repository.file("preprocessor_config.json")
    network = load_class(model, repository, class_name)
    processor = transformers.AutoImageProcessor.from_pretrained(
        folder_of(repository), local_files_only=True
    )
    return ImageTower(
        model=model,
        network=_Output(network, field).eval(),
        preparation=preparation_of(model, processor.to_dict()),
        transform=_transform(processor),
        pooling=f"{field} of {class_name}",
        licence=licence_of(repository),
        sources=(
            f"weights: {repository.address}",
            f"network: transformers {transformers.__version__}, {class_name}",
        ),
    )


def load_class(model: str, repository: Repository, class_name: str) -> nn.Module:
    """Load a network of transformers with every weight it has.

    Raises:
        MissingError: a file is not there.
        ModelError: the files lack weights of it, or are another model's.
    """
    transformers: Any = library("transformers", "hf")
    weights = repository.file(
        "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
    )
    if weights.suffix == ".json":
        for shard in sorted(set(read_settings(weights).get("weight_map", {}).values())):
            repository.file(shard)
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, found = getattr(transformers, class_name).from_pretrained(
            folder_of(repository),
            local_files_only=True,
            output_loading_info=True,
            attn_implementation="eager",
            dtype=torch.float32,
        )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"model {model}: transformers cannot load it: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    # transformers would go on with random numbers in their place.
    if lacking := sorted(found["missing_keys"]):
        raise ModelError(
            f"model {model}: {repository.address} lacks weights of {class_name}: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}"
        )
    return network.eval()  # type: ignore[no-any-return]


def folder_of(repository: Repository) -> Path:
    """Return the folder on this machine that holds a repository's files."""
    return repository.file("config.json").parent


class _Output(nn.Module):
    """One field of a network's output."""

    def __init__(self, network: nn.Module, field: str) -> None:
        super().__init__()
        self.network = network
        self.field = field

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = getattr(self.network(pixel_values=x), self.field)
        return found


def _transform(processor: Any) -> Callable[[Image.Image], Tensor]:
    def transform(photo: Image.Image) -> Tensor:
        pixels: Tensor = processor(images=photo, return_tensors="pt")["pixel_values"][0]
        return pixels

    return transform


def preparation_of(model: str, settings: Mapping[str, Any]) -> Preparation:
    """Return how photos are prepared by an image processor's settings (`to_dict`).

    Raises `ModelError` when that is not known here.
    """
    size = {key: value for key, value in (settings.get("size") or {}).items() if value}
    cropped = bool(settings.get("do_center_crop"))
    whole = settings.get("crop_size") or {}
    crop_side = square(model, [whole["height"], whole["width"]]) if cropped else 0
    if not settings.get("do_resize") or settings.get("do_pad"):
        raise ModelError(f"model {model}: its photos are padded or not resized; not known here")
    if size.keys() == {"shortest_edge"} and cropped and crop_side <= size["shortest_edge"]:
        fit, resized = "crop", int(size["shortest_edge"])
    elif size.keys() == {"height", "width"}:
        fit, resized = "squash", square(model, [size["height"], size["width"]])
    else:
        raise ModelError(
            f"model {model}: its photos are resized to {size} and cropped to {whole or 'nothing'}; "
            "not known here"
        )
    side = crop_side if cropped else resized
    filter_name = _FILTERS.get(settings.get("resample", Image.Resampling.BILINEAR))
    if filter_name is None or side > resized:
        raise ModelError(
            f"model {model}: resample {settings.get('resample')!r} or a crop of {side} out of "
            f"{resized} is not known here"
        )
    # In grey levels: (x * factor - mean) / std = (x - mean / factor) / (std / factor).
    factor = settings["rescale_factor"] if settings.get("do_rescale", True) else 1.0
    normalised = settings.get("do_normalize", True)
    return Preparation(
        input_size=side,
        fit="crop" if fit == "crop" else "squash",
        interpolation=known_filter(model, filter_name),
        crop_share=side / resized,
        mean=three(settings["image_mean"] if normalised else [0.0], 1 / factor),
        std=three(settings["image_std"] if normalised else [1.0], 1 / factor),
    )
