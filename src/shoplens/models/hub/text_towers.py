"""Text towers of open_clip and transformers, on torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoplens.errors import ModelError
from shoplens.models.hub.from_hf import folder_of, load_class
from shoplens.models.hub.from_open_clip import (
    CONFIG,
    ClipModel,
    load_clip,
    load_clip_repository,
)
from shoplens.models.hub.repository import Repository, library, read_settings
from shoplens.models.unit_length import unit
from shoplens.records import Vectors

_CLASSES = {
    "clip": ("CLIPTextModelWithProjection", "text_embeds"),
    "siglip": ("SiglipTextModel", "pooler_output"),
}
_BATCH = 64
_TOKENIZER = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
"""Files of which a tokenizer has at least one."""
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "merges.txt")


class TextTower:
    """A text tower (see `shoplens.models.text.TextEncoder`)."""

    def __init__(self, name: str, features: Callable[[list[str]], Tensor]) -> None:
        self._name = name
        self._features = features
        self._dimension = int(self._run(["a"]).shape[1])

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts (see `shoplens.models.text.TextEncoder.encode`)."""
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts, got one text")
        batches = [list(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
        if not batches:
            return np.empty((0, self._dimension), dtype=np.float32)
        return np.concatenate([self._run(batch) for batch in batches])

    def _run(self, texts: list[str]) -> Vectors:
        with torch.no_grad():
            return unit(self._features(texts).to(torch.float32).numpy())


def load_text_tower(model: str) -> TextTower:
    """Load a text tower by the model's name (see `shoplens.models.text.load_text_encoder`)."""
    kind, _, rest = model.partition(":")
    if kind == "open_clip":
        return _of_clip(model, load_clip(model, rest))
    if kind != "hf":
        raise ModelError(f"model {model} has no text tower")
    repository = Repository.of(model, rest)
    config = repository.find("config.json")
    settings = read_settings(config) if config is not None else {}
    if "open_clip_model_name" in settings or (
        "model_type" not in settings and repository.find(CONFIG) is not None
    ):
        return _of_clip(model, load_clip_repository(model, repository), repository)
    return _of_transformers(model, repository, settings.get("model_type", ""))


def _of_clip(model: str, clip: ClipModel, repository: Repository | None = None) -> TextTower:
    open_clip: Any = library("open_clip", "open-clip")
    settings = open_clip.get_model_config(clip.architecture)["text_cfg"]
    named = settings.get("hf_tokenizer_name", "")
    if named:
        library("transformers", "hf")
        folder = clip.architecture.removeprefix("local-dir:")
        place = named if folder == clip.architecture else folder
        _fetch_tokenizer(repository or Repository.of(model, place))
    try:
        tokenizer = open_clip.get_tokenizer(clip.architecture)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"model {model}: its tokenizer cannot be loaded: {error}") from error

    def features(texts: list[str]) -> Tensor:
        found: Tensor = clip.network.encode_text(tokenizer(texts))
        return found

    return TextTower(model, features)


def _of_transformers(model: str, repository: Repository, kind: str) -> TextTower:
    if kind not in _CLASSES:
        raise ModelError(
            f"model {model}: model_type {kind!r} has no text tower that is known here; known "
            f"are {', '.join(_CLASSES)}"
        )
    class_name, field = _CLASSES[kind]
    transformers: Any = library("transformers", "hf")
    _fetch_tokenizer(repository)
    network: Any = load_class(model, repository, class_name)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder_of(repository), local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {model}: its tokenizer cannot be loaded: {error}") from error
    # SigLIP was trained on texts filled up to one length, and looks at the filling as well.
    filled = kind == "siglip"
    longest = network.config.max_position_embeddings

    def features(texts: list[str]) -> Tensor:
        tokens = tokenizer(
            texts,
            padding="max_length" if filled else True,
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        )
        names = ("input_ids",) if filled else ("input_ids", "attention_mask")
        found: Tensor = getattr(network(**{name: tokens[name] for name in names}), field)
        return found

    return TextTower(model, features)


def _fetch_tokenizer(repository: Repository) -> Path:
    """Have a repository's tokenizer on this machine; return its main file."""
    for name in _TOKENIZER_SETTINGS:
        repository.find(name)
    return repository.file(*_TOKENIZER)
