"""Models of other libraries by name: which are known to be good, which are at hand.

A name says the library and what it calls the model: `timm:vit_small_patch14_dinov2.lvd142m`,
`open_clip:ViT-B-16/laion2b_s34b_b88k`, `hf:google/siglip2-base-patch16-224`. Any model of theirs
can be named, not only those in the catalogue. The first use converts it to a model folder in the
cache; from then on it needs nothing but ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypeGuard

from shoplens.cache import cache_folder

Precision = Literal["fp32", "fp16"]
"""How a converted model's weights are stored; both compute in float32."""
AtHand = Literal["converted", "downloaded", "no"]
"""Whether a model can be used now: it was converted before; its weights are in the hub's cache, so
that its library can convert it; it must be downloaded or brought."""

EXTRAS = {"timm": "timm", "open_clip": "open-clip", "hf": "hf"}
"""By what a name begins with, the extra that converts it."""
_CONVERSION = 1
"""Counted up when conversion changes, so that what was converted before is not used."""


@dataclass(frozen=True, slots=True)
class Score:
    """A score that a model is known to reach, and where that is written."""

    metric: str
    value: float
    of: str
    """`as it is`, or what was done to the weights first."""
    source: str


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model of another library that is known to be good for a start."""

    name: str
    about: str
    repository: str
    """Where its weights are, on the Hugging Face hub."""
    files: tuple[str, ...]
    """Names its weights may have there."""
    parameters: int
    """Of the tower that embeds photos."""
    dimension: int
    input_size: int
    texts: bool
    """Whether it has a text tower, in the same space (see `shoplens.models.text`)."""
    licence: str
    score: Score | None
    """None: not measured."""

    @property
    def source(self) -> str:
        """Where its weights are published."""
        return f"https://huggingface.co/{self.repository}"

    @property
    def at_hand(self) -> AtHand:
        """Whether it can be used now."""
        if any(is_converted(self.name, precision) for precision in ("fp32", "fp16")):
            return "converted"
        return "downloaded" if _in_hub_cache(self.repository, self.files) else "no"


def list_zoo() -> list[ZooModel]:
    """Return the catalogue."""
    text = (resources.files("shoplens.models") / "zoo.json").read_text(encoding="utf-8")
    return [
        ZooModel(
            **{
                **entry,
                "files": tuple(entry["files"]),
                "score": Score(**entry["score"]) if entry["score"] else None,
            }
        )
        for entry in json.loads(text)
    ]


def is_hub_name(model: object) -> TypeGuard[str]:
    """Return whether a name means a model of another library."""
    return isinstance(model, str) and model.partition(":")[0] in EXTRAS and ":" in model


def converted_folder(model: str, precision: Precision = "fp32") -> Path:
    """Return where in the cache a model of another library is kept, once converted.

    The same name with other files on this disk is another folder.
    """
    kind, _, rest = model.partition(":")
    place = rest.rpartition("@")[2]
    key = [kind, rest, precision, _CONVERSION, *_stamps(Path(place).expanduser())]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", model)[-80:]
    return cache_folder() / "models" / f"{readable}-{precision}-{digest}"


def is_converted(model: str, precision: Precision = "fp32") -> bool:
    """Return whether a model of another library was converted before."""
    return (converted_folder(model, precision) / "recipe.json").is_file()


def _stamps(place: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of the files at a place on this disk; nothing elsewhere."""
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.is_file())
    else:
        files = [place] if place.is_file() else []
    found = [(file, file.stat()) for file in files]
    return [(str(file.absolute()), stat.st_size, stat.st_mtime_ns) for file, stat in found]


def _in_hub_cache(repository: str, files: tuple[str, ...]) -> bool:
    """Return whether a file is in the cache of `huggingface_hub`, which need not be installed."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huggingface"
    home = Path(os.environ.get("HF_HOME", home)).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    snapshots = hub / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(any(snapshots.glob(f"*/{name}")) for name in files)
