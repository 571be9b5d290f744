from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_challenges import SAMPLE, make_challenge, split_of

from shoplens.challenge.registry.split import split_products
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError

counts = st.lists(st.integers(1, 9), min_size=2, max_size=60)
shares = st.floats(0.05, 0.95)
seeds = st.integers(0, 2**32)


@given(counts, shares, seeds, st.randoms(use_true_random=False))
def test_sides_share_no_product_and_are_close_to_the_share(
    sizes: list[int], share: float, seed: int, random: object
) -> None:
    products = np.repeat(np.arange(len(sizes)), sizes)
    random.shuffle(products)  # type: ignore[attr-defined]
    public = split_products(products, share, seed)
    assert not set(products[public]) & set(products[~public])
    assert public.any()
    assert not public.all()
    # As close as whole products allow, unless that would leave a side empty.
    largest = max(sizes)
    empty_side = max(0.0, largest - share * len(products), largest - (1 - share) * len(products))
    bound = max(largest / 2, empty_side) + 1e-9  # For rounding.
    assert abs(public.sum() - share * len(products)) <= bound


@given(counts, shares, seeds)
def test_the_split_follows_from_the_seed_and_not_from_the_order_of_rows(
    sizes: list[int], share: float, seed: int
) -> None:
    products = np.repeat(np.arange(len(sizes)), sizes)
    public = split_products(products, share, seed)
    order = np.random.default_rng(1).permutation(len(products))
    assert np.array_equal(split_products(products[order], share, seed), public[order])
    assert np.array_equal(split_products(products, share, seed), public)


def test_another_seed_is_another_split() -> None:
    products = np.arange(50)
    assert not np.array_equal(split_products(products, 0.5, 0), split_products(products, 0.5, 1))


def test_one_product_cannot_be_split() -> None:
    with pytest.raises(DataError, match="queries of 1 product cannot be split"):
        split_products(np.zeros(5, dtype=np.int64), 0.3, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        split_products(np.arange(5), share, 0)


def test_a_challenge_keeps_its_split(tmp_path) -> None:  # type: ignore[no-untyped-def]
    registry = make_challenge(tmp_path, seed=3, public_share=0.4)
    split = split_of(registry)
    queries = read_dataset(SAMPLE).queries
    assert split.positions.tolist() == list(range(len(queries)))
    names = sorted({photo.product_id or "" for photo in queries})
    assert [names[n] for n in split.products] == [photo.product_id for photo in queries]
    assert split.is_public.sum() == 16
    assert np.array_equal(split.is_public, split_products(split.products, 0.4, 3))
