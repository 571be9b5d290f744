"""Re-ranking: a better order of what a search found.

Read `reranker` first (what a method is), then `chain` (several methods in a row, and their text),
`methods` (which there are), and the methods themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoplens.progress import Progress, silent
from shoplens.ranking import Ranking
from shoplens.records import Vector, Vectors
from shoplens.reranking.chain import AUTO, NO_STEPS, NONE, Chain, online_chain, parse_chain
from shoplens.reranking.methods import METHODS
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter
from shoplens.vectors.embeddings import Embeddings

__all__ = [
    "AUTO",
    "METHODS",
    "NONE",
    "NO_STEPS",
    "Chain",
    "Cost",
    "Ranked",
    "Reranker",
    "online_chain",
    "parameter",
    "parse_chain",
    "rerank",
]


def rerank(
    ranking: Ranking,
    queries: Embeddings | Vector | Vectors,
    gallery: Embeddings,
    chain: str | Chain | Reranker | Sequence[Reranker],
    *,
    progress: Progress = silent,
) -> Ranking:
    """Put each row of a ranking in a better order.

    Args:
        ranking: as `rank` returns it, with scores.
        queries: the vectors that were ranked, (q, d); or bare vectors as `rank` takes them.
        gallery: the gallery's vectors, (n, d). Methods that need products or photos take them from
            `gallery.photos` and `queries.photos`.
        chain: such as `"alpha-qe:k=4,alpha=3"`, or `"dba+aqe"` for two steps (docs/reranking.md
            lists all methods); or re-rankers.
        progress: told how far each step is.

    Returns:
        A ranking of the same shape. `chain` names the steps, and `batch_side` says whether one of
        them used other queries.

    Raises:
        ChainError: the text is not a chain.
        RankingError: the ranking and the vectors do not belong together, or a step needs something
            that is not known.
    """
    if isinstance(chain, str):
        chain = parse_chain(chain)
    elif isinstance(chain, Reranker):
        chain = Chain((chain,))
    elif not isinstance(chain, Chain):
        chain = Chain(tuple(chain))
    if not isinstance(queries, Embeddings):
        bare = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        queries = Embeddings(ranking.query_ids, bare, fingerprint=gallery.fingerprint)
    ranked = Ranked(ranking, queries, gallery)
    ranked.positions()  # Steps look at the first places alone; a fault in others is told too.
    return chain.rerank(ranked, progress=progress).ranking
