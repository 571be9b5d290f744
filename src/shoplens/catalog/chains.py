"""The chain of re-ranking methods that a catalogue keeps for its searches."""

from __future__ import annotations

from shoplens.errors import CatalogError, ChainError, RankingError
from shoplens.reranking import Chain, online_chain


def chain_by_vectors(chain: str | Chain, why: str) -> Chain:
    """Return a chain that is gallery-side and reads no photos.

    Args:
        chain: the chain, or its text.
        why: why photos cannot be read, and what to do; the end of a sentence.

    Raises:
        ChainError: the text is no chain.
        RankingError: a step uses other queries, or reads photos.
    """
    found = online_chain(chain)
    if reading := [step.name for step in found.steps if step.reads_photos]:
        raise RankingError(f"{reading[0]} reads photos, and {why}")
    return found


def kept_chain(chain: str | Chain) -> Chain:
    """Return a chain that a catalogue can keep: gallery-side, and by vectors alone.

    So every search can use it, also one for a vector or for an id, and a server.

    Raises:
        ChainError: the text is no chain.
        RankingError: a step uses other queries, or reads photos.
    """
    return chain_by_vectors(
        chain,
        "a catalogue keeps a chain for all searches, also for those that have no photo. Name it "
        f"when you search with one: `shoplens search PHOTO --catalog URI --rerank {chain}`",
    )


def stored_chain(text: str, uri: str) -> Chain:
    """Return the chain that a catalogue has kept as a text.

    Raises `CatalogError` if this version of shoplens does not know it.
    """
    try:
        return kept_chain(text)
    except RankingError as error:
        problem = error.problem if isinstance(error, ChainError) else str(error)
        raise CatalogError(
            f"{uri} keeps the chain {text}, by which this shoplens cannot re-rank ({problem}): "
            "install a newer version, or name another chain (--rerank none for no re-ranking)"
        ) from error
