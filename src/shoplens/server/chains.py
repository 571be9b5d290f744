"""The chain that a search is re-ranked by: the server's own, or one that the request names.

The server's own is the one in its settings, or else the one that the catalogue keeps.
"""

from __future__ import annotations

from shoplens.catalog.base import Catalog
from shoplens.catalog.chains import chain_by_vectors
from shoplens.catalog.reranked import CANDIDATES, expected_seconds
from shoplens.errors import ChainError, RankingError
from shoplens.reranking import NO_STEPS, Chain
from shoplens.server.problems import Problem


def server_chain(text: str) -> Chain:
    """Read a chain that a server can re-rank by: gallery-side, and by vectors alone.

    Photos are not read: those of strangers are only decoded in processes of their own.

    Raises:
        ChainError: the text is no chain.
        RankingError: a step uses other queries, or reads photos.
    """
    return chain_by_vectors(
        text,
        "a server re-ranks by vectors alone. Use it with `shoplens search`, or name a method that "
        "reads none",
    )


def own_chain(setting: Chain | None, catalog: Catalog) -> Chain:
    """Return the chain of searches that name none; `setting` is that of the settings, if any.

    Raises `CatalogError` if this version of shoplens does not know the chain of the catalogue.
    """
    return catalog.chain if setting is None else setting


def asked_chain(
    text: str | None, own: Chain, most_seconds: float, n_photos: int, dimension: int
) -> Chain:
    """Return the chain of a search.

    Args:
        text: what the request names; None for the server's own.
        own: the server's own chain.
        most_seconds: what another one may be expected to take.
        n_photos: how many photos the search looks at.
        dimension: of the catalogue's vectors.

    Raises `Problem` (`bad_rerank`).
    """
    if text is None:
        return own
    try:
        chain = server_chain(text)
    except ChainError as error:
        raise Problem("bad_rerank", error.problem, position=error.position) from None
    except RankingError as error:
        raise Problem("bad_rerank", str(error)) from None
    if chain not in (NO_STEPS, own):
        seconds = expected_seconds(chain, max(CANDIDATES, n_photos), dimension)
        if seconds > most_seconds:
            raise Problem(
                "bad_rerank",
                f"{chain} would take about {seconds:.2g} s for each search, and this server allows "
                f"{most_seconds:g} s (its setting max_rerank_seconds).",
            )
    return chain
