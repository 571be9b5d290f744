"""From a training run to a model folder, checked before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from shoplens.datasets.dataset import Dataset, read_dataset, read_gallery
from shoplens.embedding import embed
from shoplens.errors import DataError, ModelError, PhotoError
from shoplens.evaluation.scores import evaluate, require_ground_truth
from shoplens.models.encoder import Encoder, RecipeEncoder
from shoplens.models.hub.torch_encoder import TorchEncoder
from shoplens.models.model_folder import require_room, write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.parallel import parallel_map
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.progress import Progress, silent
from shoplens.ranking import rank
from shoplens.training.config import SourceConfig
from shoplens.training.graphs import Pixels, to_fp16, to_int8, to_onnx
from shoplens.training.network import Network
from shoplens.training.photos import Region, read_products

if TYPE_CHECKING:
    from shoplens.training.loop import Trained

Precision = Literal["fp32", "fp16", "int8"]


class Tolerance(NamedTuple):
    """How near a model's vectors must be to the network's: cosines, at least."""

    lowest: float
    mean: float


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(lowest=0.9999, mean=0.9999),
    "fp16": Tolerance(lowest=0.999, mean=0.999),
    "int8": Tolerance(lowest=0.98, mean=0.995),
}
LARGEST_LOSS = 0.003
"""mAP@1000 that a model may lose against the network."""

METRIC = "map@1000"

_CHECKED, _CALIBRATED = 64, 128
"""Photos to check with, and others to calibrate int8 with."""
_SOURCES: dict[Precision, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("precision: weights rounded to float16",),
    "int8": ("precision: 8-bit integers, ranges measured on photos",),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a model's vectors are to the network's."""

    n_photos: int
    lowest: float
    """Cosine of the photo that differs most."""
    mean: float
    largest_difference: float
    """Of a component of the unit vectors."""

    def to_json(self) -> dict[str, float]:
        """Return the figures as JSON values."""
        return {
            "n_photos": self.n_photos,
            "cosine_lowest": self.lowest,
            "cosine_mean": self.mean,
            "largest_difference": self.largest_difference,
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """A model that was written."""

    output: Path
    recipe: Recipe
    fingerprint: str
    precision: Precision
    megabytes: float
    """Size of the weights, in 10^6 bytes."""
    check: Agreement
    scores: dict[str, float] | None
    """mAP@1000 of the `network` and of the `model`, where a test set was given."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as `shoplens export --json` writes it."""
        return {
            "output": str(self.output),
            "name": self.recipe.name,
            "version": self.recipe.version,
            "fingerprint": self.fingerprint,
            "precision": self.precision,
            "input_size": self.recipe.input_size,
            "dimension": self.recipe.dimension,
            "nested": list(self.recipe.nested),
            "megabytes": round(self.megabytes, 3),
            "check": self.check.to_json(),
            METRIC: self.scores,
        }


def reference_encoder(network: Network, recipe: Recipe) -> TorchEncoder:
    """Return a network as an encoder, to hold its exported model against."""
    return TorchEncoder(network, recipe, "network in torch", batch_size=1)


def check(
    reference: RecipeEncoder,
    candidate: RecipeEncoder,
    pixels: Sequence[Pixels],
    precision: Precision,
) -> Agreement:
    """Hold an encoder's vectors against those of another, photo by photo.

    Args:
        reference: the network.
        candidate: the model made from it.
        pixels: photos, each (1, s, s, 3).
        precision: whose `TOLERANCES` to hold.

    Raises:
        ModelError: there are no photos, or the vectors are farther apart than is tolerated.
    """
    if not pixels:
        raise ModelError("there are no photos to check the model with")
    expected, found = (
        np.concatenate([encoder.encode(photo, ["user"]) for photo in pixels])
        for encoder in (reference, candidate)
    )
    cosines = np.sum(expected * found, axis=1)
    report = Agreement(
        n_photos=len(pixels),
        lowest=float(np.min(cosines)),
        mean=float(np.mean(cosines)),
        largest_difference=float(np.abs(expected - found).max()),
    )
    asked = TOLERANCES[precision]
    # Asked this way round, numbers that are not finite are refused as well.
    if not (report.lowest >= asked.lowest and report.mean >= asked.mean):
        raise ModelError(
            f"the {precision} model's vectors are too far from the network's on {len(pixels)} "
            f"photos: lowest cosine {report.lowest:.5f} (at least {asked.lowest} is asked for), "
            f"mean {report.mean:.5f} (at least {asked.mean}), largest difference "
            f"{report.largest_difference:.2e}"
        )
    return report


def export_run(
    run: Path,
    output: Path,
    *,
    precision: Precision = "fp32",
    input_size: int | None = None,
    photos: Path | None = None,
    evaluate_on: Path | None = None,
    name: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> ExportReport:
    """Make a model folder of a finished training run.

    Args:
        run: the folder that `shoplens train` wrote.
        output: the model folder to write.
        precision: `fp32`; `fp16`, half the size at the same speed; `int8`, a quarter of the size
            and about twice the speed on processors with 8-bit products.
        input_size: side of the squares the model takes; None takes the configuration's.
        photos: what to check, and to calibrate int8, with: a folder of images, a test set folder
            or a training table; None takes the photos of the run.
        evaluate_on: a test set folder to compare mAP@1000 on as well.
        name: of the model; None takes the configuration's.
        force: replace a model that is in `output`.
        progress: told of stages and steps.

    Raises:
        MissingError: there is no finished run, or photos or test set are not there.
        DataError: photos or test set are faulty.
        ModelError: the model differs from the network, or loses mAP@1000, by more than is allowed.
        ShoplensError: `output` is there already, or cannot be written.

    Whatever is raised, nothing is written.
    """
    # Costs what training needs (accelerate), which exporting does not.
    from shoplens.training.loop import load_run  # noqa: PLC0415

    return export_trained(
        load_run(run),
        output,
        precision=precision,
        input_size=input_size,
        photos=photos,
        evaluate_on=evaluate_on,
        name=name,
        force=force,
        progress=progress,
    )


def export_trained(
    trained: Trained,
    output: Path,
    *,
    precision: Precision = "fp32",
    input_size: int | None = None,
    photos: Path | None = None,
    evaluate_on: Path | None = None,
    name: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> ExportReport:
    """Make a model folder of a trained network (see `export_run`)."""
    require_room(output, replace=force)
    dataset = None
    if evaluate_on is not None:
        dataset = read_dataset(evaluate_on)
        require_ground_truth(dataset)
    recipe = make_recipe(trained, precision, input_size)
    if name is not None:
        recipe = replace(recipe, name=name)
    wanted = _CHECKED + (_CALIBRATED if precision == "int8" else 0)
    pixels = _pixels(_regions(trained, photos), recipe, wanted, progress)
    # Every third photo (of int8's) checks, so that both parts are spread alike.
    step = wanted // _CHECKED
    checking = pixels[::step]
    weights = to_onnx(trained.network, recipe.input_size)
    if precision == "fp16":
        weights = to_fp16(weights)
    elif precision == "int8":
        progress("calibrate", 0, 1)
        weights = to_int8(weights, [p for i, p in enumerate(pixels) if i % step])
        progress("calibrate", 1, 1)
    # The graph alone: taking the centres off would make differences look larger.
    graph = replace(recipe, centres={})
    report = ExportReport(
        output=output,
        recipe=recipe,
        fingerprint=recipe.fingerprint(weights),
        precision=precision,
        megabytes=len(weights) / 1e6,
        check=check(
            reference_encoder(trained.network, graph),
            OnnxEncoder(weights, graph),
            checking,
            precision,
        ),
        scores=None
        if dataset is None
        else _compare(
            reference_encoder(trained.network, recipe),
            OnnxEncoder(weights, recipe),
            dataset,
            progress,
        ),
    )
    write_model(output, weights, recipe, replace=force)
    return report


def make_recipe(
    trained: Trained, precision: Precision = "fp32", input_size: int | None = None
) -> Recipe:
    """Return the recipe of a trained network's model."""
    config, backbone = trained.config, trained.backbone
    settings = config.network
    pooling = {
        "gem": f"GeM, p = {settings.gem_power:g}",
        "mean": "mean",
        "attention": f"GeM weighted by attention, p = {settings.gem_power:g}",
    }
    return Recipe(
        name=config.name,
        version=config.version,
        dimension=settings.dimension,
        input_size=input_size or config.input_size,
        fit=backbone.fit,
        pad_colour=backbone.pad_colour,
        pixels="uint8_nhwc",
        mean=backbone.mean,
        std=backbone.std,
        pooling=f"{pooling[settings.pooling]}; linear to {settings.dimension}",
        licence=config.licence,
        # A backbone that was itself exported names some of these already.
        sources=tuple(dict.fromkeys((*backbone.sources, *config.credits, *_SOURCES[precision]))),
        centres=dict(trained.centres),
        nested=tuple(sorted(set(settings.nested))),
    )


def _regions(trained: Trained, photos: Path | None) -> list[Region]:
    """Return the photos to check with."""
    if photos is not None and not photos.is_file():
        return [(photo.path, photo.box) for photo in read_gallery(photos)]
    sources = trained.config.photos if photos is None else (SourceConfig(table=photos),)
    products = read_products(sources)
    return [p.region for product in products for p in product.photos if p.problem is None]


def _pixels(
    regions: Sequence[Region], recipe: Recipe, wanted: int, progress: Progress
) -> list[Pixels]:
    """Return photos as the model takes them, drawn from all, unusable ones left out."""

    def prepared(region: Region) -> Pixels | None:
        path, box = region
        try:
            decoded = decode(
                read_bytes(path),
                box=box,
                target=recipe.input_size,
                target_side="longer" if recipe.fit == "pad" else "shorter",
            )
        except PhotoError:
            return None
        size, fit, colour = recipe.input_size, recipe.fit, recipe.pad_colour
        return crop(decoded, size=size, fit=fit, pad_colour=colour)[None]

    found: list[Pixels] = []
    drawn = (regions[int(n)] for n in np.random.default_rng(0).permutation(len(regions)))
    usable = (pixels for pixels in parallel_map(prepared, drawn) if pixels is not None)
    for pixels in islice(usable, wanted):
        found.append(pixels)
        progress("photos", len(found), min(wanted, len(regions)))
    if not found:
        raise DataError(f"none of {len(regions)} photos can be used to check the model with")
    return found


def _compare(
    network: Encoder, model: Encoder, dataset: Dataset, progress: Progress
) -> dict[str, float]:
    """Return mAP@1000 of both.

    Raises `ModelError` when the model loses more than is allowed.
    """
    scores = {}
    for name, encoder in (("network", network), ("model", model)):

        def told(_stage: str, done: int, total: int, name: str = name) -> None:
            progress(f"evaluate {name}", done, total)

        queries, gallery = (
            embed(photos, encoder, cache=False, progress=told)
            for photos in (dataset.queries, dataset.gallery)
        )
        scores[name] = evaluate(rank(queries, gallery), dataset, metrics=(METRIC,))[METRIC].value
    loss = scores["network"] - scores["model"]
    if loss > LARGEST_LOSS:
        raise ModelError(
            f"the model loses {loss:.4f} of mAP@1000 ({scores['network']:.4f} to "
            f"{scores['model']:.4f}; at most {LARGEST_LOSS} is allowed)"
        )
    return scores
