from __future__ import annotations

import numpy as np
from made_rankings import at, embeddings, only, ranked

from shoplens.reranking.scaling import LocalScaling


def test_the_worked_example() -> None:
    """The example of docs/reranking.md: the photo at 20 degrees is near to both queries."""
    made = ranked(embeddings(at(0, 40), domain="user"), embeddings(at(20, -25)))
    assert made.ranking.ids[0].tolist() == [0, 1]
    after = LocalScaling(k=2, weight=0.5).rerank(made)
    assert after.ranking.ids[0].tolist() == [1, 0]
    np.testing.assert_allclose(after.scores[0], [0.574, 0.470], atol=1e-3)
    # Alone, the query finds both photos scaled by itself.
    alone = LocalScaling(k=2, weight=0.5).rerank(only(made, [0]))
    assert alone.ranking.ids[0].tolist() == [0, 1]


def test_weight_0_changes_nothing() -> None:
    made = ranked(embeddings(at(0, 40), domain="user"), embeddings(at(20, -25)))
    np.testing.assert_array_equal(LocalScaling(weight=0).rerank(made).scores, made.scores)
