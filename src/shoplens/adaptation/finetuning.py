"""Fit a model's head to a shop's labelled photos, and keep it if it wins."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from shoplens.adaptation.choosing import Pairs, choose, cross_validate, precisions_of
from shoplens.adaptation.closed_form import ClosedForm, Settings
from shoplens.adaptation.frozen import FrozenModel, Seen
from shoplens.adaptation.report import AdaptationReport, Gain
from shoplens.adaptation.writing import write_adapted
from shoplens.datasets.dataset import Dataset
from shoplens.errors import DataError
from shoplens.evaluation.scores import require_ground_truth
from shoplens.models import DEFAULT_MODEL
from shoplens.models.devices import CPU
from shoplens.models.model_folder import require_room
from shoplens.progress import Progress, silent

LEAST_PRODUCTS = 20
"""Products with photos of both domains that fitting and validation need. A hundred are better."""


def finetune(
    dataset: Dataset,
    output: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    dimension: int | None = None,
    name: str | None = None,
    device: str = CPU,
    cache: bool = True,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> AdaptationReport:
    """Fit the head of a model to labelled photos of a shop, in closed form (no torch).

    The network stays frozen. How the head is fitted, and whether the model is shown sellers' photos
    without their plain borders, is chosen by validation. The report compares
    the model with its new head and as it was, on queries of products that were not looked at: the
    products are split into five parts, and each is searched for among all gallery photos, with a
    head that the other four chose and fitted. If the 95 % interval of the gain is above zero, a
    head is fitted to all products, and a new model is written. The old one stays as it is.

    Args:
        dataset: users' and sellers' photos whose products are known.
        output: the new model's folder.
        model: the model to start from, as `shoplens.load_encoder` takes it; no ensemble.
        dimension: length of the new model's vectors, at most; None takes the model's.
        name: of the new model; None takes the folder's.
        device: as `shoplens.load_encoder` takes it.
        cache: whether to keep what was computed in the user's cache, also the new model's vectors
            of the gallery: then a catalogue of it changes to the model without decoding a photo.
        workers: threads; None for one per usable core.
        force: replace a model that is in `output`.
        progress: told of stages and steps.

    Returns:
        What was found. Without `kept`, nothing was written.

    Raises:
        DataError: products are not known, or too few have photos of both domains.
        MissingError: there is no such model.
        ModelError: the model cannot be adapted (see `FrozenModel`).
        ShoplensError: `output` is there already or cannot be written, or no photo can be used.
    """
    output = Path(output)
    require_room(output, replace=force)
    require_ground_truth(dataset)
    whole = FrozenModel(model, device)
    started = time.perf_counter()
    gallery, queries = (
        whole.see(photos, cache=cache, workers=workers, progress=progress)
        for photos in (dataset.gallery, dataset.queries)
    )
    failures = (*gallery.failures, *queries.failures)
    ways = [(whole, gallery)]
    if (trimmed := whole.without_borders()) is not None:
        cut = trimmed.see(gallery.photos, cache=cache, workers=workers, progress=progress)
        if len(cut) == len(gallery):
            ways.append((trimmed, cut))
    embedded = time.perf_counter()
    query_products, gallery_products = _numbered(queries, gallery)
    searched = np.isin(query_products, gallery_products)
    all_pairs = [
        Pairs(queries.features[searched], query_products[searched], seen.features, gallery_products)
        for _, seen in ways
    ]
    pairs = all_pairs[0]
    n_products = len(pairs.products)
    if n_products < LEAST_PRODUCTS:
        raise DataError(
            f"{n_products} products have usable photos of both users and sellers; fitting a head "
            f"needs at least {LEAST_PRODUCTS}, and a hundred are better. `shoplens adapt` needs no "
            "labels"
        )
    dimension = dimension or whole.recipe.dimension
    after = cross_validate(all_pairs, dimension, progress=progress)
    before = precisions_of(
        queries.vectors[searched], gallery.vectors, pairs.query_products, gallery_products
    )
    gain = Gain.of(before, after, pairs.query_products)
    way, shrinkage = choose(all_pairs)
    frozen, gallery = ways[way]
    pairs = all_pairs[way]
    chosen = Settings(shrinkage, dimension)
    written = None
    if gain.exceeds(0):
        head = ClosedForm(pairs.examples(pairs.products)).head(chosen)
        written = write_adapted(
            output,
            frozen,
            head,
            (gallery, queries),
            name=name,
            source=f"head fitted to {n_products:,} labelled products of {dataset.root.name}",
            cache=cache,
            force=force,
        )
    return AdaptationReport(
        model=whole.recipe.name,
        fingerprint=whole.fingerprint,
        output=None if written is None else output,
        new_fingerprint=None if written is None else written.fingerprint,
        settings=chosen,
        trim=frozen.recipe.trim,
        gain=gain,
        least_gain=0,
        n_products=n_products,
        n_queries=len(pairs.queries),
        n_gallery=len(gallery),
        n_cached=0 if written is None else written.n_cached,
        failures=failures,
        seconds={
            "embed": embedded - started,
            "fit": time.perf_counter() - embedded,
        },
    )


def _numbered(*sides: Seen) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return a number for each photo's product, equal where products are."""
    codes = {
        product: code
        for code, product in enumerate(sorted({str(p.product_id) for s in sides for p in s.photos}))
    }
    return [
        np.array([codes[str(photo.product_id)] for photo in side.photos], dtype=np.int64)
        for side in sides
    ]
