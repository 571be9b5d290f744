from __future__ import annotations

import numpy as np
import numpy.typing as npt
from made_rankings import at, embeddings, mean_precision, ranked, shop

from shoplens.reranking.refinement import Refinement, refining_weights


def refined_vectors(
    candidates: npt.NDArray[np.float32], k: int, beta: float
) -> npt.NDArray[np.float32]:
    near, weights = refining_weights(candidates, k, beta)
    return np.asarray(np.einsum("mk,mkd->md", weights, candidates[near]))


def test_the_worked_example() -> None:
    """The example of docs/reranking.md: photos at 20, 30 and -25 degrees."""
    made = ranked(embeddings(at(0), domain="user"), embeddings(at(20, 30, -25)))
    assert made.ranking.ids.tolist() == [[0, 2, 1]]
    refined = refined_vectors(at(20, 30, -25), 1, 1.0)
    angles = np.degrees(np.arctan2(refined[:, 1], refined[:, 0]))
    # The photos at 20 and 30 degrees are averaged with each other (cos 10 = 0.985), the third with
    # the first (cos 45 = 0.707).
    np.testing.assert_allclose(angles, [24.96, 25.04, -6.6], atol=0.1)
    # The third is shorter than the others, as its like differs from it.
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), [0.996, 0.996, 0.927], atol=2e-3)
    # The best by itself is the third (0.92), then the first: they make the second query, at 9.3.
    after = Refinement(k=1, beta=1).rerank(made)
    assert after.ranking.ids.tolist() == [[0, 1, 2]]


def test_beta_0_refines_nothing() -> None:
    candidates = at(20, 30, -25)
    np.testing.assert_allclose(refined_vectors(candidates, 2, 0), candidates, atol=1e-6)


def test_only_the_first_candidates_are_refined() -> None:
    made = shop(n_products=40, noise=1.2)
    after = Refinement(m=10, k=3).rerank(made)
    np.testing.assert_array_equal(after.ranking.ids[:, 10:], made.ranking.ids[:, 10:])
    assert (after.scores[:, 10:] <= after.scores[:, 9:10]).all()
    np.testing.assert_array_equal(
        np.sort(after.ranking.ids[:, :10], axis=1), np.sort(made.ranking.ids[:, :10], axis=1)
    )


def test_more_of_made_products_is_found() -> None:
    made = shop(60, views=6, n_queries=120, noise=0.8)
    assert mean_precision(Refinement(k=5, beta=0.5).rerank(made)) > mean_precision(made)
