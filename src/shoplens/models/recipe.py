"""The recipe: everything about a model besides its weights, kept in the same folder.

A model is a folder (or a zip of it) with `model.onnx` and `recipe.json`. Weights never travel
without their preprocessing, and the fingerprint covers both: vectors made with other weights or
settings are refused wherever they meet.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from shoplens.errors import ModelError
from shoplens.json_text import parse_object
from shoplens.pixels.crops import Fit
from shoplens.pixels.resampling import Interpolation
from shoplens.records import Domain

PixelLayout = Literal["uint8_nhwc", "float32_nchw"]
"""What the graph takes: raw bytes (it normalises itself), or floats normalised by mean and std."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model's weights are to be used, and where they come from.

    Raises `ModelError` when a value is impossible.
    """

    name: str
    version: str
    dimension: int
    """Length of the vectors."""
    input_size: int
    """Side in pixels of the square the model takes."""
    fit: Fit
    """How a region becomes a square (see `shoplens.pixels.crops.crop`)."""
    pixels: PixelLayout
    mean: tuple[float, float, float]
    """Per channel (R, G, B), in grey levels 0..255; pixels become (x - mean) / std."""
    std: tuple[float, float, float]
    licence: str
    sources: tuple[str, ...]
    """Where weights and fitted numbers come from."""
    pad_colour: tuple[int, int, int] = (255, 255, 255)
    interpolation: Interpolation = "bicubic"
    """The resize's filter (see `shoplens.pixels.resampling`)."""
    crop_share: float = 1.0
    """Share of the region's sides that is kept about its centre, in (0, 1]: with `fit` "crop" of
    the shorter side, as timm's `crop_pct`."""
    zooms: tuple[float, ...] = (1.0,)
    """At each of these a view is taken, the region's sides multiplied by it about its centre (see
    `shoplens.pixels.crops.crop_views`); the vector is the mean of the views' unit vectors, scaled
    to unit length."""
    flip: bool = False
    """Whether the mirror image of each view counts as another view."""
    margin: Mapping[Domain, float] = field(default_factory=dict)
    """Per domain, the share of a box's width and height that is added on each side, where the photo
    has it. Photos without a box have none."""
    trim: tuple[Domain, ...] = ()
    """Domains whose photos, where they have no box, are cut to what is inside their plain border
    (see `shoplens.pixels.borders`)."""
    trim_tolerance: float = 12.0
    """Grey levels by which a plain border may differ from its own colour."""
    pooling: str = ""
    """In words; the pooling itself is in the graph."""
    centres: Mapping[Domain, tuple[float, ...]] = field(default_factory=dict)
    """Per domain, a (dimension,) vector taken from the graph's unit output before it is scaled to
    unit length again."""
    nested: tuple[int, ...] = ()
    """Numbers of leading components that were trained to be used alone, ascending (Kusupati et al.,
    2022; see `shoplens.models.encoder.LeadingEncoder`)."""

    def __post_init__(self) -> None:
        for name in ("name", "version", "licence", "pooling"):
            self._require(isinstance(getattr(self, name), str), name, "must be text")
        self._require(bool(self.name), "name", "must not be empty")
        for name in ("dimension", "input_size"):
            value = getattr(self, name)
            self._require(type(value) is int and value > 0, name, "must be a positive integer")
        self._require(
            isinstance(self.sources, tuple) and all(isinstance(s, str) for s in self.sources),
            "sources",
            "must be a list of texts",
        )
        self._require(self.fit in get_args(Fit), "fit", f"must be one of {get_args(Fit)}")
        self._require(
            self.pixels in get_args(PixelLayout),
            "pixels",
            f"must be one of {get_args(PixelLayout)}",
        )
        self._require(
            self.interpolation in get_args(Interpolation),
            "interpolation",
            f"must be one of {get_args(Interpolation)}",
        )
        self._check_views()
        for name in ("mean", "std", "pad_colour"):
            values = getattr(self, name)
            self._require(
                isinstance(values, tuple) and len(values) == 3 and all(map(math.isfinite, values)),
                name,
                "must hold 3 numbers (R, G, B)",
            )
        self._require(all(v > 0 for v in self.std), "std", "must be positive")
        self._require(
            all(type(v) is int and 0 <= v <= 255 for v in self.pad_colour),
            "pad_colour",
            "must hold integers from 0 to 255",
        )
        self._require(
            isinstance(self.nested, tuple)
            and all(type(v) is int and 0 < v < self.dimension for v in self.nested)
            and list(self.nested) == sorted(set(self.nested)),
            "nested",
            f"must be a list of integers between 0 and {self.dimension}, ascending",
        )
        self._require(isinstance(self.centres, Mapping), "centres", "must be an object by domain")
        for domain, centre in self.centres.items():
            self._require(
                domain in get_args(Domain), "centres", f"has the unknown domain {domain!r}"
            )
            self._require(
                len(centre) == self.dimension and all(map(math.isfinite, centre)),
                f"centres.{domain}",
                f"must hold {self.dimension} finite numbers and has {len(centre)}",
            )

    def _check_views(self) -> None:
        self._require(
            _is_number(self.crop_share) and 0 < self.crop_share <= 1,
            "crop_share",
            "must be a number above 0 and up to 1",
        )
        self._require(
            isinstance(self.zooms, tuple)
            and all(_is_number(v) and 0.1 <= v <= 10 for v in self.zooms)
            and 0 < len(set(self.zooms)) == len(self.zooms),
            "zooms",
            "must be a list of different numbers from 0.1 to 10",
        )
        self._require(isinstance(self.flip, bool), "flip", "must be true or false")
        self._require(
            isinstance(self.margin, Mapping)
            and all(domain in get_args(Domain) for domain in self.margin)
            and all(_is_number(v) and 0 <= v <= 10 for v in self.margin.values()),
            "margin",
            f"must be an object of numbers from 0 to 10 by domain {get_args(Domain)}",
        )
        self._require(
            isinstance(self.trim, tuple)
            and all(domain in get_args(Domain) for domain in self.trim)
            and len(set(self.trim)) == len(self.trim),
            "trim",
            f"must be a list of different domains {get_args(Domain)}",
        )
        self._require(
            _is_number(self.trim_tolerance) and 0 <= self.trim_tolerance <= 255,
            "trim_tolerance",
            "must be a number from 0 to 255",
        )

    def _require(self, holds: bool, name: str, problem: str) -> None:
        if not holds:
            shown = f" (got {getattr(self, name)!r:.80})" if hasattr(self, name) else ""
            raise ModelError(f"recipe.json: {name} {problem}{shown}")

    def preparation(self, domain: Domain | None = None) -> str:
        """Return the settings that decide what pixels the model is shown, as a text to compare by.

        Models of equal preparation can be shown the same pixels: of photos of one domain, where
        that is given.
        """
        settings = {name: _numbers(getattr(self, name)) for name in _PREPARATION}
        if domain is not None:
            trimmed = domain in self.trim
            settings |= {"trim": trimmed, "margin": self.margin.get(domain)}
            settings["trim_tolerance"] = self.trim_tolerance if trimmed else None
        return json.dumps(settings)

    def fingerprint(self, weights: bytes) -> str:
        """Return 16 hex digits over weights and settings; equal fingerprints, equal vectors.

        Words that change no vector (name, licence, sources) do not count, nor settings at their
        default, so that a setting added later leaves the fingerprints of today as they are.
        """
        settings = {
            f.name: _numbers(getattr(self, f.name))
            for f in fields(self)
            if f.name not in _WORDS and getattr(self, f.name) != _default(f)
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(weights)
        return digest.hexdigest()[:16]

    def to_json(self, weights: bytes) -> str:
        """Return the text of `recipe.json` for this recipe and these weights."""
        values = {**asdict(self), "fingerprint": self.fingerprint(weights)}
        # One key a line: readable, and a vector of a thousand numbers stays one line.
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, weights: bytes) -> Recipe:
        """Read `recipe.json` and check that it belongs to `weights`.

        Raises `ModelError` when a key is missing or unknown, a value impossible, or the stated
        fingerprint is another one.
        """
        values = parse_object(text, "recipe.json", ModelError)
        stated = values.pop("fingerprint", None)
        known = {f.name for f in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ModelError(f"recipe.json: unknown keys {unknown}; known are {sorted(known)}")
        needed = {
            f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING
        }
        if absent := sorted(needed - values.keys()):
            raise ModelError(f"recipe.json: keys {absent} are missing")
        try:
            recipe = cls(**{name: _frozen(value) for name, value in values.items()})
        except TypeError as error:
            raise ModelError(f"recipe.json: {error}") from error
        actual = recipe.fingerprint(weights)
        if stated is not None and stated != actual:
            raise ModelError(
                f"recipe.json states the fingerprint {stated}, but recipe and model.onnx give "
                f"{actual}: one of the two files was changed or belongs to another model. "
                "Bring the matching pair, or remove the key 'fingerprint' if you made the change."
            )
        return recipe


_WORDS = ("name", "version", "licence", "sources", "pooling", "nested")
"""Fields that say something of the model and change no vector."""


_PREPARATION = (
    "input_size",
    "fit",
    "pad_colour",
    "interpolation",
    "crop_share",
    "zooms",
    "flip",
    "margin",
    "trim",
    "trim_tolerance",
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


def _numbers(value: Any) -> Any:
    """Write whole numbers as floats, for 127 and 127.0 mean the same."""
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, int) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
