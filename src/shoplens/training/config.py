"""What a training run is told: a YAML file under a typed schema."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shoplens.errors import DataError
from shoplens.files import read_text

_Place = tuple[str | int, ...]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    # Docstrings of fields describe them in the schema, of which docs/training.md is made.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(_Section):
    """Photos to learn from: a training table or a test set folder."""

    table: Path
    """A training table, or a folder with gallery.csv and queries.csv; relative to the folder of the
    configuration, or to that of `--tables`."""
    sources: tuple[str, ...] | None = None
    """Values of the column `source` to take; null takes all."""
    repeat: Count = 1
    """How often its products are drawn beside those of other sources."""
    max_per_product: Count | None = None
    """Photos of one product and domain to use at most, evenly spaced; null uses all."""


class Holdout(_Section):
    """Products kept out of training, to validate on."""

    share: Share = 0.15
    """Of the products that have photos of both domains."""
    seed: int = 0
    """Decides which; another seed, other products."""


class Batch(_Section):
    """P products with K views each."""

    products: Annotated[int, Field(ge=2)] = 32
    """Products in a batch."""
    views: Annotated[int, Field(ge=2)] = 4
    """Views of each product: half of them as a user, half as a seller would take them; the odd one
    as a user."""
    look_alikes: Share = 0.5
    """Share of a batch's products drawn from one category."""


class Augmentation(_Section):
    """How far views stray from their photo; chances are per view."""

    foreground_cut: Share = 0.8
    """Chance that a product cut from a plain background is pasted on clutter."""
    backdrop: Share = 0.5
    """Chance that a seller's view gets another plain background: white, grey or a gradient."""
    clean_up: Share = 0.8
    """Chance that a user's photo seen as a seller's is balanced and its surroundings faded."""
    shadow: Share = 0.5
    """Chance that a pasted product throws a shadow."""
    perspective: Share = 0.7
    """Chance that a user's camera looks from aside or above."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Degrees either way; a fifth of it in seller's views."""
    occlusion: Share = 0.3
    """Chance that something hides, or the frame cuts off, up to a quarter of the product."""
    box_jitter: Share = 0.15
    """How far a box's sides move, as a share of its size; one box in six is much too large."""
    blur: Share = 0.3
    """Chance that a user's view is out of focus or shaken."""
    low_resolution: Share = 0.2
    """Chance that a user's view was made smaller in between."""
    noise: Share = 0.3
    """Chance of a small sensor's noise in a user's view."""
    jpeg: Share = 0.5
    """Chance of compression: strong in a user's view, slight in a seller's."""
    contrast: Share = 0.5
    """Chance of another brightness, contrast and saturation."""
    colour_cast: Share = 0.5
    """Chance of a light that is not white: strong in a user's view, slight in a seller's."""
    low_light: Share = 0.2
    """Chance that a user's view is dark."""
    colour_variant: Share = 0.3
    """Chance of another hue, of grey or of swapped channels: colours of one product count as it."""
    mirror: Share = 0.5
    """Chance that left and right change places."""

    @classmethod
    def none(cls) -> Augmentation:
        """Return what leaves photos as they are."""
        return cls(**dict.fromkeys(cls.model_fields, 0.0))


class Views(_Section):
    """The pixels a network learns from."""

    input_size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the squares in pixels."""
    per_product: Count = 4
    """Views made ahead of each product and domain when early stages are frozen; at least one of
    each photo."""
    augmentation: Augmentation = Augmentation()
    """How far views stray from their photo; `none`: not at all."""

    @field_validator("augmentation", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: object) -> object:
        return Augmentation.none() if value == "none" else value


class Network(_Section):
    """From pixels to vectors."""

    backbone: str = "builtin:default"
    """`builtin:NAME` (`builtin:default` for the default model), `file:PATH` (a model folder that
    shoplens exported), `imagenet:lite0`, `lite1` or `lite2`, `timm:NAME` or
    `open_clip:NAME/PRETRAINED` (these two need the extra `[hub]`)."""
    random_weights: bool = False
    """Start from random weights where the backbone would take published ones."""
    frozen_stages: Annotated[int, Field(ge=0)] = 0
    """Stages from the input on that stay as they are; they run once over views made ahead."""
    pooling: Literal["gem", "mean", "attention"] = "gem"
    """From a map of features to one vector; `attention` is GeM with learned weights of places."""
    gem_power: Positive = 3.0
    """The p of GeM; 1 is the mean, a large one nearly the maximum."""
    dimension: Annotated[int, Field(ge=2, le=4096)] = 512
    """Length of the vectors."""
    input_size: Annotated[int, Field(ge=32, le=1024)] | None = None
    """Side in pixels of the squares that the finished model takes; null: that of the views. At this
    size head and centres are fitted and epochs validated. Larger than the views it costs no time in
    training and gains accuracy (Touvron et al., NeurIPS 2019)."""
    whitening: Share = 0.5
    """Power by which the components that the head starts from are divided by their spread: 0 not
    at all, 1 to equal spread."""
    nested: tuple[Count, ...] = ()
    """Leading parts of a vector that are trained to be used alone (Kusupati et al., 2022)."""

    @model_validator(mode="after")
    def _nested_are_parts(self) -> Network:
        if any(part >= self.dimension for part in self.nested):
            raise ValueError(f"nested {self.nested} must be smaller than {self.dimension}")
        if len(set(self.nested)) < len(self.nested):
            raise ValueError(f"nested {self.nested} names a part twice")
        return self


class Loss(_Section):
    """One term of what is minimised."""

    kind: Literal["supcon", "arcface", "triplet", "smooth_ap", "roadmap", "keep", "distil"]
    """Which; see above."""
    weight: Positive = 1.0
    """What it is multiplied by before terms are added up."""
    temperature: Positive = 0.1
    """`supcon`, `smooth_ap`, `roadmap`, `keep`: what similarities are divided by (the papers of
    Smooth-AP and ROADMAP take 0.01)."""
    margin: Positive = 0.3
    """`arcface`: the widest angle, for the rarest product, in radians; `triplet`: in similarity."""
    sub_centres: Count = 3
    """`arcface`: centres a product."""
    memory: Annotated[int, Field(ge=0)] = 0
    """`supcon`, `triplet`: earlier vectors a batch is compared with as well (Wang et al., 2020)."""

    @model_validator(mode="after")
    def _memory_is_used(self) -> Loss:
        if self.memory and self.kind not in ("supcon", "triplet"):
            raise ValueError(f"{self.kind} has no memory; supcon and triplet have")
        return self


class Teacher(_Section):
    """A network with published weights that is asked what it makes of whole photos."""

    backbone: Text
    """As in `network`."""
    input_size: Annotated[int, Field(ge=32, le=1024)]
    """Side of the squares it sees, in pixels; larger than the student's, usually."""
    mirror: bool = True
    """Whether it sees the photo's mirror image as well."""


class Distillation(_Section):
    """The targets of the `distil` loss."""

    teachers: Annotated[tuple[Teacher, ...], Field(min_length=1)]
    """One or more; their vectors are put side by side and reduced to `network.dimension`."""
    whitening: Share = 0.5
    """Power by which components are divided by their spread: 0 not at all, 1 to equal spread."""
    product_share: Share = 0.3
    """How far a photo's target moves towards the mean of its product's photos."""


class Optimiser(_Section):
    """AdamW, warm-up, cosine."""

    epochs: Annotated[int, Field(ge=0)] = 10
    """Validation and a checkpoint follow each; 0 keeps the start weights, with principal components
    for a head."""
    steps_per_epoch: Count | None = None
    """null: as many as show each training product once."""
    learning_rate: Positive = 3e-4
    """Of the head, at its highest."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Factor from one stage to the one below: what is nearer to the pixels learns more slowly."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Of matrices; biases are not decayed."""
    warm_up: Share = 0.1
    """Share of the steps in which the learning rate rises."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    precision: Literal["no", "fp16", "bf16"] = "no"
    """Mixed precision of the trained stages, for GPUs; `bf16` also for processors with AMX."""


class Averaging(_Section):
    """Which weights come out."""

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay a step of the moving average that is validated and kept; 0 takes the weights as
    they are."""
    soup: bool = False
    """Whether the weights after each epoch are mixed, best first, as long as validation gains by it
    (greedy soup, Wortsman et al., 2022)."""
    start_share: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.0,)
    """Shares of the start weights to try in the result (WiSE-FT, Wortsman et al., 2022); the one
    best in validation is kept."""


class Config(_Section):
    """A training run."""

    name: Text
    """Name of the model that comes out."""
    version: str = "1"
    """Of that model."""
    licence: Text
    """Of the weights that come out."""
    credits: tuple[str, ...] = ()
    """What the model was made from, for its recipe."""
    seed: int = 0
    """Of everything that is left to chance in training; equal seeds, equal weights."""
    photos: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Where they are; a product may be in one entry only."""
    centre_sources: tuple[str, ...] | None = None
    """Sources whose mean vectors become the centres of the domains; null takes all."""
    holdout: Holdout = Holdout()
    """Products kept out."""
    views: Views = Views()
    """What the network sees."""
    batch: Batch = Batch()
    """What is compared at a time."""
    network: Network = Network()
    """What is trained."""
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)] = (Loss(kind="supcon"),)
    """What is minimised: the sum of these terms."""
    distillation: Distillation | None = None
    """The teachers of the loss `distil`."""
    optimiser: Optimiser = Optimiser()
    """How long, and how fast."""
    averaging: Averaging = Averaging()
    """Which weights come out."""

    @property
    def input_size(self) -> int:
        """Side in pixels of the squares that the finished model takes."""
        return self.network.input_size or self.views.input_size

    @model_validator(mode="after")
    def _distil_has_teachers(self) -> Config:
        if any(loss.kind == "distil" for loss in self.losses) and self.distillation is None:
            raise ValueError("the loss distil needs the section distillation, with its teachers")
        return self


def read_config(path: str | Path, tables: str | Path | None = None) -> Config:
    """Read a training configuration.

    Args:
        path: the YAML file.
        tables: folder that the tables in it are relative to; None takes the file's own folder.

    Raises:
        MissingError: no such file.
        DataError: not YAML, or keys or values outside the schema: all of them at once, with the
            key that was probably meant.
    """
    path = Path(path)
    text = read_text(path)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold keys and values, as in 'name: my-model'")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        places = [item["loc"] for item in error.errors()]
        problems = [
            _problem(dict(item))
            for item in error.errors()
            # A list with a faulty item also counts as too short: said once is enough.
            if item["type"] != "too_short" or not _has_below(places, item["loc"])
        ]
        raise DataError("\n".join([f"{path}:", *(f"  {p}" for p in problems)])) from None
    folder = path.parent if tables is None else Path(tables)
    return config.model_copy(
        update={
            "photos": tuple(
                source.model_copy(update={"table": folder / source.table})
                for source in config.photos
            )
        }
    )


def _has_below(places: Sequence[_Place], place: _Place) -> bool:
    """Whether any of the places lies inside a place."""
    return any(other[: len(place)] == place for other in places if other != place)


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "missing":
        return f"{place}: is missing"
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg']} (got {error['input']!r:.60})"
    known = _keys_at(error["loc"][:-1])
    close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys are {', '.join(known)}"
    return f"{place}: no such key; {hint}"


def _keys_at(place: _Place) -> list[str]:
    """Return the keys of the section at a place in the schema."""
    section: type[BaseModel] = Config
    for part in place:
        if isinstance(part, str):
            section = _section_of(section.model_fields[part].annotation)
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if part is not Ellipsis:
            return _section_of(part)
    raise TypeError(annotation)
