"""Methods that work on blocks of arrays, beside plain programs that take one photo at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from made_rankings import shop

from shoplens.reranking import Ranked, Reranker
from shoplens.reranking.augmentation import NeighbourAugmentation, ProductAugmentation
from shoplens.reranking.pooling import ProductPooling
from shoplens.reranking.refinement import Refinement

Wide = npt.NDArray[np.float64]

SHOPS = st.builds(
    shop,
    st.integers(1, 12),
    views=st.integers(1, 5),
    n_queries=st.integers(1, 4),
    dimension=st.just(8),
    noise=st.sampled_from([0.3, 1.0]),
    failed=st.sampled_from([(), (0,)]),
    seed=st.integers(0, 1000),
)


def unit(vector: Wide) -> Wide:
    return np.asarray(vector / np.linalg.norm(vector))


def present(made: Ranked) -> list[int]:
    return np.flatnonzero(made.gallery.has_vector).tolist()


def products(made: Ranked) -> list[str | None]:
    assert made.gallery.photos is not None
    return made.gallery.photos.product_ids


def expect(method: Reranker, made: Ranked, scores: npt.NDArray[np.float64]) -> None:
    """Compare with the scores (q, n) of a plain program."""
    after = method.rerank(made)
    places = after.positions()
    for row, positions in enumerate(places.tolist()):
        known = [place for place, photo in enumerate(positions) if photo in present(made)]
        assert known == list(range(len(known)))
        found = after.scores[row, known]
        expected = scores[row, [positions[place] for place in known]]
        np.testing.assert_allclose(found, expected, atol=2e-6)
        # The order is that of the plain scores, but for rounding.
        assert (np.diff(expected) < 2e-6).all()


def averaged(made: Ranked, weights: list[dict[int, float]]) -> npt.NDArray[np.float64]:
    """Return the scores of gallery vectors that are weighted means of others."""
    wide = made.gallery.vectors.astype(np.float64)
    scores = np.full((len(made.queries), len(wide)), -np.inf)
    for photo in present(made):
        total = sum(weight * wide[other] for other, weight in weights[photo].items())
        scores[:, photo] = made.queries.vectors @ unit(np.asarray(total))
    return scores


@given(SHOPS, st.integers(1, 4), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 2.0]))
def test_product_dba(made: Ranked, k: int, weight: float, alpha: float) -> None:
    wide, of = made.gallery.vectors.astype(np.float64), products(made)
    weights: list[dict[int, float]] = []
    for photo in range(len(wide)):
        like = [p for p in present(made) if p != photo and of[p] == of[photo]]
        similarity = {other: min(1.0, max(0.0, float(wide[photo] @ wide[other]))) for other in like}
        near = sorted(like, key=lambda other: -similarity[other])[:k]
        weights.append({photo: 1.0, **{p: weight * similarity[p] ** alpha for p in near}})
    expect(ProductAugmentation(k, weight, alpha), made, averaged(made, weights))


@given(SHOPS, st.integers(1, 4), st.sampled_from([0.0, 6.0]))
def test_dba(made: Ranked, k: int, alpha: float) -> None:
    wide = made.gallery.vectors.astype(np.float64)
    weights: list[dict[int, float]] = []
    for photo in range(len(wide)):
        others = [p for p in present(made) if p != photo]
        near = sorted(others, key=lambda other: -float(wide[photo] @ wide[other]))[:k]
        similar = {other: max(0.0, float(wide[photo] @ wide[other])) ** alpha for other in near}
        weights.append({photo: 1.0, **similar})
    expect(NeighbourAugmentation(k, alpha), made, averaged(made, weights))


@given(SHOPS, st.sampled_from([0.0, 0.9]), st.sampled_from([0.02, 1.0]))
def test_product_score(made: Ranked, weight: float, temperature: float) -> None:
    own = np.full((len(made.queries), len(made.gallery)), -np.inf)
    np.put_along_axis(own, made.positions().astype(np.intp), made.scores.astype(np.float64), axis=1)
    scores = own.copy()
    of = products(made)
    for row in range(len(own)):
        for photo in present(made):
            like = [own[row, p] for p in present(made) if of[p] == of[photo]]
            best = max(like)
            mean = sum(math.exp((score - best) / temperature) for score in like) / len(like)
            pooled = best + temperature * math.log(mean)
            scores[row, photo] = (1 - weight) * own[row, photo] + weight * pooled
    expect(ProductPooling(weight, temperature), made, scores)


@given(SHOPS, st.integers(1, 4), st.sampled_from([0.15, 1.0]))
def test_superglobal(made: Ranked, k: int, beta: float) -> None:
    wide = made.gallery.vectors.astype(np.float64)
    means = np.zeros_like(wide)
    for photo in present(made):
        others = [p for p in present(made) if p != photo]
        near = sorted(others, key=lambda other: -float(wide[photo] @ wide[other]))[:k]
        weights = {photo: 1.0, **{p: beta * max(0.0, float(wide[photo] @ wide[p])) for p in near}}
        total = sum(weight * wide[other] for other, weight in weights.items())
        means[photo] = np.asarray(total) / sum(weights.values())
    scores = np.full((len(made.queries), len(wide)), -np.inf)
    for row, query in enumerate(made.queries.vectors.astype(np.float64)):
        first = {photo: float(means[photo] @ query) for photo in present(made)}
        best = sorted(present(made), key=lambda photo: -first[photo])[: k + 1]
        if not best:
            continue
        second = unit(means[best].mean(axis=0))
        for photo in present(made):
            scores[row, photo] = (first[photo] + float(means[photo] @ second)) / 2
    expect(Refinement(m=400, k=k, beta=beta), made, scores)
