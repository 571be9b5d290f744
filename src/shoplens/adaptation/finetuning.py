"""Fit a model to a shop's labelled photos, and keep what wins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shoplens.adaptation.choosing import (
    Fold,
    Pairs,
    choose,
    choose_folds,
    cross_validate,
    precisions_of,
)
from shoplens.adaptation.closed_form import Settings
from shoplens.adaptation.frozen_ensemble import freeze
from shoplens.adaptation.report import AdaptationReport, Gain
from shoplens.adaptation.ways import Tuned, look_at
from shoplens.adaptation.writing import write_adapted
from shoplens.datasets.dataset import Dataset
from shoplens.errors import MissingError
from shoplens.evaluation.scores import require_ground_truth
from shoplens.models import BASE_MODEL, DEFAULT_MODEL
from shoplens.models.devices import CPU
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import require_room
from shoplens.progress import Progress, silent

if TYPE_CHECKING:
    from shoplens.adaptation.network_stage import NetworkStage

MANY_PRODUCTS = 500
"""With more, one part of the products is enough to validate a tuned network; each part takes a
tuning of its own."""


def finetune(
    dataset: Dataset,
    output: str | Path,
    *,
    model: str | Path | None = None,
    network: bool = False,
    dimension: int | None = None,
    name: str | None = None,
    device: str = CPU,
    cache: bool = True,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> AdaptationReport:
    """Fit a model to labelled photos of a shop: its head, and if you wish its last stages.

    The head is fitted in closed form (no torch). How, and whether a single network is shown
    sellers' photos without their plain borders, is chosen by validation. The report compares
    the new model with the one before, on queries of products that were not looked at: the
    products are split into five parts, and each is searched for among all gallery photos, with a
    head that the other four chose and fitted. If the 95 % interval of the gain is above zero, a
    model is fitted to all products and written. The old one stays as it is.

    With `network`, the last stages of the network are tuned as well, for each of the parts and in
    the end for all products. They are kept if the 95 % interval of what they gain over the head
    alone is above zero. This takes minutes; a run that was stopped goes on from the folder
    `output` with `.unfinished` at its end, which is removed when the run is done.

    Args:
        dataset: users' and sellers' photos whose products are known.
        output: the new model's folder.
        model: the model to start from, as `shoplens.load_encoder` takes it; None for the default
            model, or with `network` for lite0-products, which is a single network.
        network: whether to tune the network's last stages as well (extra `[train]`).
        dimension: length of the new model's vectors, at most; None takes the model's.
        name: of the new model; None takes the folder's.
        device: as `shoplens.load_encoder` takes it; the last stages are tuned on the processor.
        cache: whether to keep what was computed in the user's cache, also the new model's vectors
            of the gallery where only its head is new: then a catalogue of it changes to the model
            without decoding a photo.
        workers: threads; None for one per usable core.
        force: replace a model that is in `output`.
        progress: told of stages and steps.

    Returns:
        What was found. Without `kept`, nothing was written.

    Raises:
        DataError: products are not known, or too few have photos of both domains.
        MissingError: there is no such model, or an extra is needed.
        ModelError: the model cannot be adapted (see `freeze`), or its network not be tuned: it is
            an ensemble, or no EfficientNet-Lite in floating point.
        ShoplensError: `output` is there already or cannot be written, or no photo can be used.
    """
    output = Path(output)
    require_room(output, replace=force)
    require_ground_truth(dataset)
    frozen = freeze(model or (BASE_MODEL if network else DEFAULT_MODEL), device)
    dimension = dimension or frozen.dimension
    if network:
        # What is wrong with the model is said before minutes are spent on photos.
        _network_stage().require_tunable(frozen)
    started = time.perf_counter()
    shop = look_at(dataset, frozen, cache=cache, workers=workers, progress=progress)
    embedded = time.perf_counter()
    gallery, pairs = shop.ways[0].gallery, shop.ways[0].pairs
    folds = choose_folds(shop.all_pairs, progress=progress)
    every = Fold(pairs.products[:0], pairs.products, *choose(shop.all_pairs))

    def with_head(fold: Fold) -> tuple[Pairs, LinearHead]:
        seen = shop.ways[fold.way].pairs
        return seen, fold.head(seen, dimension)

    before = precisions_of(
        shop.queries.vectors[shop.searched],
        gallery.vectors,
        pairs.query_products,
        pairs.gallery_products,
    )
    after = cross_validate(folds, pairs.query_products, with_head)
    fitted = time.perf_counter()
    seconds = {"embed": embedded - started, "fit": fitted - embedded}
    way = shop.ways[every.way]
    tuned = Tuned(None, way.gallery, shop.queries)
    over_head = None
    if network:
        stage = _network_stage()(shop, dimension, output, workers=workers, progress=progress)
        validated = folds[:1] if len(pairs.products) > MANY_PRODUCTS else folds
        with_network = cross_validate(validated, pairs.query_products, stage.fitted_to)
        over_head = Gain.of(after, with_network, pairs.query_products)
        if over_head.exceeds(0):
            after = with_network
            tuned = stage.tuned(every)
        seconds["tune"] = time.perf_counter() - fitted
    gain = Gain.of(before, after, pairs.query_products)
    counted = ~np.isnan(after)
    written = None
    if gain.exceeds(0):
        head = every.head(shop.pairs_of(every.way, tuned), dimension)
        name = name or output.resolve().name
        products = f"{len(pairs.products):,} labelled products of {dataset.root.name}"
        if tuned.weights is None:
            adapted = way.model.adapted(head, name=name, source=f"head fitted to {products}")
        else:
            source = f"last stages and head fitted to {products}"
            adapted = stage.adapted(way.model, tuned.weights, head, name=name, source=source)
            cache = False  # torch has computed the features, which differ in the last digits.
        seen = (tuned.gallery, tuned.queries)
        written = write_adapted(output, adapted, head, seen, cache=cache, force=force)
    if network:
        stage.done()
    return AdaptationReport(
        model=frozen.name,
        fingerprint=frozen.fingerprint,
        output=None if written is None else output,
        new_fingerprint=None if written is None else written.fingerprint,
        settings=Settings(every.shrinkage, dimension),
        trim=way.model.trim,
        gain=gain,
        network_gain=over_head,
        least_gain=0,
        n_products=len(np.unique(pairs.query_products[counted])),
        n_queries=int(counted.sum()),
        n_gallery=len(way.gallery),
        n_cached=0 if written is None else written.n_cached,
        failures=shop.failures,
        seconds=seconds,
    )


def _network_stage() -> type[NetworkStage]:
    """Import what needs torch."""
    try:
        from shoplens.adaptation.network_stage import NetworkStage  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(
            f"tuning the network needs: pip install 'shoplens[train]' ({error})"
        ) from error
    return NetworkStage
