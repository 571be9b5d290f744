"""Labelled photos to a calibration, with what it is worth on products that it has not seen."""

from __future__ import annotations

import numpy as np

from shoplens.confidence.calibration import Calibration
from shoplens.confidence.fitting import (
    LEAST_OF_CATEGORY,
    Method,
    fit_estimator,
    folds_by_product,
    held_out_probabilities,
)
from shoplens.confidence.measuring import (
    Measured,
    Searches,
    by_category,
    calibration_error,
    log_loss,
    reliability,
)
from shoplens.confidence.samples import searched_samples
from shoplens.confidence.searched import search_labelled
from shoplens.datasets.tagged_table import CATEGORY
from shoplens.errors import DataError
from shoplens.products.temperature import fit_temperature
from shoplens.records import PhotoSet
from shoplens.reranking import NONE, Chain, online_chain
from shoplens.vectors.embeddings import Embeddings

_METHODS: tuple[Method, ...] = ("logistic", "isotonic")


def calibrate(
    queries: Embeddings,
    gallery: Embeddings,
    *,
    category: str | None = None,
    false_accepts: float = 0.05,
    absent: float = 0.0,
    rerank: str | Chain = NONE,
) -> Calibration:
    """Learn from labelled photos how likely a score means the same product.

    Every query is searched twice: in the gallery, and in the gallery without the query's product.
    The second tells what a search looks like whose product is not there; the threshold of
    `no_match` comes from it. What `measured` says was measured on products that had no part in the
    fit: in five folds by product.

    Args:
        queries: users' photos, with the photos' products, as `embed` returns them. The calibration
            is for searches from as many views of each.
        gallery: sellers' photos, likewise. If they have regions, the calibration is for searches
            with as many.
        category: an attribute of sellers' photos, by which confidences may differ if there are
            enough data; None takes `category` where there is one.
        false_accepts: the share of searches without the query's product that may pass as a match.
        absent: the share of searches whose product is not in the gallery to expect in use, beyond
            those of the data. It lowers all confidences.
        rerank: a chain of gallery-side re-ranking methods; the calibration is then for searches
            that are re-ranked by it. Every query is re-ranked twice, with its product and without.

    Returns:
        The calibration, fitted on all queries.

    Raises:
        DataError: products are not known, or there are too few queries to learn from.
        RankingError: the vectors are of different models, or a re-ranking step cannot be taken.
        ChainError: `rerank` is not a chain.
        ValueError: a rate is not within 0..1.
    """
    if not 0 <= false_accepts <= 1 or not 0 <= absent < 1:
        raise ValueError("false_accepts and absent are shares: 0 or more, and less than 1")
    searched_in = gallery.photos or PhotoSet([])
    category = _known_category(searched_in, category)
    chain = online_chain(rerank)
    searched = search_labelled(queries, gallery, chain)
    samples = searched_samples(searched, searched_in, category)
    n_right, n_products = int(samples.truth.sum()), len(np.unique(samples.group))
    if n_products < 2 or not 0 < n_right < len(samples):
        raise DataError(
            f"there is nothing to learn from {n_products:,} products with {n_right:,} right and "
            f"{len(samples) - n_right:,} wrong results: calibrating needs queries of several "
            "products, of which some are found, and others that could be mistaken for them"
        )
    weights = np.where(samples.is_open, absent, 1 - absent)
    folds = folds_by_product(samples)
    first = (samples.place == 0) & (weights > 0)
    counted = weights[first]
    losses = {}
    said = {}
    for method in _METHODS:
        said[method] = held_out_probabilities(samples, weights, method, folds)
        losses[method] = log_loss(said[method][first], samples.truth[first], counted)
    best = min(_METHODS, key=lambda method: losses[method])
    probabilities, truth = said[best][first], samples.truth[first]
    named = samples.where(first).categories
    searches = Searches.of(samples, said[best], folds)
    accepted, kept = searches.decided(false_accepts)
    return Calibration(
        model_name=gallery.model_name,
        fingerprint=gallery.fingerprint,
        estimator=fit_estimator(samples, weights, best),
        category=category,
        absent=absent,
        no_match_below=searches.threshold(false_accepts),
        false_accepts=false_accepts,
        temperature=fit_temperature(searched.ranking, searched.products, searched.query_products),
        regions=0 if gallery.regions is None else gallery.regions.limit,
        query_views=queries.views,
        chain=chain.names,
        measured=Measured(
            n_queries=int(queries.has_vector.sum()),
            n_products=n_products,
            n_gallery=len(gallery),
            right=float(np.average(truth, weights=counted)),
            calibration_error=calibration_error(probabilities, truth, counted),
            log_loss=losses[best],
            false_accepts=accepted,
            true_matches_kept=kept,
            bins=reliability(probabilities, truth, counted),
            categories=by_category(named, probabilities, truth, counted, LEAST_OF_CATEGORY),
        ),
    )


def _known_category(gallery: PhotoSet, category: str | None) -> str | None:
    names = {name for photo in gallery for name in photo.attributes}
    if category is not None and category not in names:
        raise DataError(
            f"the gallery's table has no column {category!r} to read categories from; it has "
            f"{', '.join(sorted(names)) or 'no further columns'}"
        )
    return category or (CATEGORY if CATEGORY in names else None)
