from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rankings import at, embeddings, mean_precision, only, ranked, shop

from shoplens.reranking.reciprocal import BatchReciprocal, GalleryReciprocal
from shoplens.reranking.reciprocal_sets import ReciprocalSets
from shoplens.reranking.reranker import Ranked


class Paper:
    """k-reciprocal encoding as the paper writes it, with sets and full matrices.

    Neighbours are the k nearest others, and a photo counts as its own neighbour besides.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self.distance = 1 - vectors.astype(np.float64) @ vectors.astype(np.float64).T
        np.fill_diagonal(self.distance, -1)
        self.order = np.argsort(self.distance, axis=1, kind="stable")
        np.fill_diagonal(self.distance, 0)

    def nearest(self, x: int, k: int) -> set[int]:
        """N(x, k)."""
        return set(self.order[x, : k + 1].tolist())

    def reciprocal(self, x: int, k: int) -> set[int]:
        """R(x, k), equation 3."""
        return {g for g in self.nearest(x, k) if x in self.nearest(g, k)}

    def expanded(self, x: int, k: int) -> set[int]:
        """R*(x, k), equation 4."""
        own = self.reciprocal(x, k)
        found = set(own)
        for q in own:
            more = self.reciprocal(q, round(k / 2))
            if 3 * len(own & more) >= 2 * len(more):
                found |= more
        return found

    def encoding(self, x: int, k1: int) -> npt.NDArray[np.float64]:
        """V(x), equation 7."""
        values = np.zeros(len(self.distance))
        for g in self.expanded(x, k1):
            values[g] = math.exp(-self.distance[x, g])
        return values

    def scores(self, n_queries: int, k1: int, k2: int, lam: float) -> npt.NDArray[np.float64]:
        """One minus d*, equations 10 to 12, of each query to each gallery photo."""
        n = len(self.distance)
        own = np.stack([self.encoding(x, k1) for x in range(n)])
        mean = np.stack([own[sorted(self.nearest(x, k2))].mean(axis=0) for x in range(n)])
        found = np.empty((n_queries, n - n_queries))
        for p in range(n_queries):
            for g in range(n_queries, n):
                jaccard = np.minimum(mean[p], mean[g]).sum() / np.maximum(mean[p], mean[g]).sum()
                d = (1 - lam) * (1 - jaccard) + lam * self.distance[p, g]
                found[p, g - n_queries] = 1 - d
        return found


def scores_by_photo(made: Ranked) -> npt.NDArray[np.float32]:
    found = np.empty(made.scores.shape, dtype=np.float32)
    np.put_along_axis(found, made.positions().astype(np.intp), made.scores, axis=1)
    return found


@given(
    st.integers(0, 10_000),
    st.integers(2, 12),
    st.integers(1, 9),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_sparse_encoding_is_that_of_the_paper(
    seed: int, n_products: int, k1: int, k2: int, lam: float
) -> None:
    made = shop(n_products, views=3, n_queries=6, dimension=6, noise=1, seed=seed)
    pool = np.concatenate((made.queries.vectors, made.gallery.vectors))
    expected = Paper(pool).scores(6, k1, k2, lam)
    after = BatchReciprocal(k1, k2, lam).rerank(made)
    np.testing.assert_allclose(scores_by_photo(after), expected, atol=1e-5)


def test_the_published_parameters_give_the_ranking_of_the_paper() -> None:
    made = shop(30, views=6, n_queries=20, noise=1.2)
    pool = np.concatenate((made.queries.vectors, made.gallery.vectors))
    expected = Paper(pool).scores(20, 20, 6, 0.3)
    after = BatchReciprocal().rerank(made)
    np.testing.assert_allclose(scores_by_photo(after), expected, atol=1e-5)
    best = np.take_along_axis(expected, after.positions().astype(np.intp), axis=1)
    assert (np.diff(best, axis=1) < 1e-5).all()


def test_neighbours_are_k_others() -> None:
    """The slip of copies: k neighbours of an index hold the photo itself and k - 1 others."""
    vectors = shop(30, views=6).gallery.vectors
    sets = ReciprocalSets(vectors, 20, 6)
    assert sets.near.positions.shape[1] == 21
    np.testing.assert_array_equal(sets.near.positions[:, 0], np.arange(180))
    assert sets.half == 10
    assert ReciprocalSets(vectors, 5, 1).half == 2  # Half to even, as the authors' program.


@pytest.fixture
def example() -> Ranked:
    """The example of docs/reranking.md: c is nearest, but has nearer neighbours of its own."""
    gallery = embeddings(at(12, 14, -10, -13, -13.5), list("abcde"))
    return ranked(embeddings(at(0), domain="user", first_id=9), gallery)


def letters(made: Ranked) -> str:
    return "".join("abcde"[photo] for photo in made.ranking.ids[0])


def test_the_worked_example(example: Ranked) -> None:
    assert letters(example) == "cadeb"
    after = BatchReciprocal(k1=2, k2=0, lam=0).rerank(example)
    assert letters(after)[:2] == "ab"
    np.testing.assert_allclose(after.scores[0], [0.652, 0.326, 0, 0, 0], atol=1e-3)


def test_the_worked_example_online(example: Ranked) -> None:
    after = GalleryReciprocal(k1=2, k2=0, lam=0.01).rerank(example)
    assert letters(after)[:2] == "ab"
    np.testing.assert_allclose(after.scores[0, :2], [0.489, 0.489], atol=0.01)


def test_a_batch_of_one_query_is_nearly_the_online_method() -> None:
    made = shop(40, views=5, n_queries=20, noise=0.8)
    online = GalleryReciprocal().rerank(made)
    for row in range(20):
        alone = BatchReciprocal().rerank(only(made, [row]))
        shared = set(alone.ranking.ids[0, :5].tolist()) & set(online.ranking.ids[row, :5].tolist())
        assert len(shared) >= 4


def test_short_rows_hold_the_photos_they_held() -> None:
    made = shop(40, views=5, depth=20)
    for method in (BatchReciprocal(), GalleryReciprocal()):
        after = method.rerank(made)
        np.testing.assert_array_equal(
            np.sort(after.ranking.ids, axis=1), np.sort(made.ranking.ids, axis=1)
        )


def test_lambda_1_keeps_the_order() -> None:
    made = shop(40, views=5, noise=1.2)
    for method in (BatchReciprocal(lam=1), GalleryReciprocal(lam=1)):
        np.testing.assert_array_equal(method.rerank(made).ranking.ids, made.ranking.ids)


def test_more_of_made_products_is_found() -> None:
    made = shop(60, views=6, n_queries=120, noise=0.8)
    before = mean_precision(made)
    assert mean_precision(BatchReciprocal(k1=8, k2=3).rerank(made)) > before
    assert mean_precision(GalleryReciprocal(k1=8, k2=3).rerank(made)) > before
