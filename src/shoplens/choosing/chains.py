"""The chains that are tried, those that cost little first."""

from __future__ import annotations

from collections.abc import Iterator

from shoplens.reranking import Chain, parse_chain

_EXPANSIONS = (
    "aqe:k=1",
    "aqe:k=2,gap=0.05",
    "alpha-qe:k=2,gap=0.1",
    "alpha-qe:k=4,gap=0.1",
    "alpha-qe:k=8,gap=0.2",
)
_POOLING = (
    "product-score:weight=0.5",
    "product-score",
    "product-score:temperature=0.02",
)
_PRODUCTS = ("product-dba:weight=0.5", "product-dba")
_AUGMENTATIONS = ("dba:k=1", "dba:k=2", "dba:k=2,alpha=3", "dba:k=4,alpha=3")
_COMPARISONS = (
    "superglobal:k=2,beta=1",
    "superglobal",
    "k-reciprocal-online:k1=3,k2=1,lam=0.8",
    "k-reciprocal-online:k1=10,k2=3,lam=0.8",
    "k-reciprocal-online",
)
_BATCH = (
    "csls:weight=0.2",
    "csls",
    "k-reciprocal:k1=5,k2=2,lam=0.8",
    "k-reciprocal:k1=10,k2=3,lam=0.6",
    "k-reciprocal",
)
_EXPANSION, _AUGMENTATION, _POOLED = "alpha-qe:k=2,gap=0.1", "dba:k=2", "product-score"
"""What is tried together with other methods."""


def chains(*, with_products: bool, batch_side: bool) -> Iterator[Chain]:
    """Yield the chains to try.

    Args:
        with_products: whether the products of gallery photos are known.
        batch_side: whether chains may use other queries.
    """
    products = (*_POOLING, *_PRODUCTS) if with_products else ()
    augmentations = (*(_PRODUCTS if with_products else ()), *_AUGMENTATIONS)
    comparisons = (*_COMPARISONS, *(_BATCH if batch_side else ()))
    unpooled = [*_EXPANSIONS, *_AUGMENTATIONS, *comparisons]
    texts = [*products, *unpooled]
    texts += [f"{first}+{_EXPANSION}" for first in augmentations]
    texts += [
        f"{first}+{second}" for first in (_EXPANSION, _AUGMENTATION) for second in comparisons
    ]
    if with_products:
        # Scores are pooled last: they are those of all that came before.
        texts += [f"{first}+{_POOLED}" for first in unpooled]
    yield from map(parse_chain, texts)
