from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoplens.lookup import find_ids, find_repeats

INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.data())
def test_ids_are_found_where_they_stand(data: st.DataObject) -> None:
    # Small ids crowd the table, wide ones spread over it.
    wide = data.draw(st.booleans())
    some = INT32 if wide else st.integers(-20, 60)
    gallery = data.draw(st.lists(some, max_size=70, unique=True))
    columns = data.draw(st.integers(0, 8))
    wanted = st.one_of(some, st.sampled_from(gallery)) if gallery else some
    row = st.lists(wanted, min_size=columns, max_size=columns)
    rows = data.draw(st.lists(row, max_size=5))
    ids = np.array(rows, dtype=np.int32).reshape(len(rows), columns)
    found = find_ids(ids, np.array(gallery, dtype=np.int32))
    assert found.dtype == np.int32
    place = {photo: position for position, photo in enumerate(gallery)}
    assert found.tolist() == [[place.get(photo, -1) for photo in row] for row in rows]


def test_many_ids_are_found_across_blocks() -> None:
    gallery = np.random.default_rng(0).choice(2**31 - 1, 5000, replace=False).astype(np.int32)
    expected = np.random.default_rng(1).integers(5000, size=(700, 20))
    np.testing.assert_array_equal(find_ids(gallery[expected], gallery), expected)
    np.testing.assert_array_equal(find_ids(gallery[expected] ^ -(2**31), gallery), -1)


@given(st.lists(st.lists(st.integers(-3, 6), min_size=7, max_size=7), max_size=5))
def test_repeats_are_all_but_the_first_of_each_photo(rows: list[list[int]]) -> None:
    expected = [
        [photo >= 0 and photo in row[:column] for column, photo in enumerate(row)] for row in rows
    ]
    found = find_repeats(np.array(rows, dtype=np.int32).reshape(len(rows), 7))
    if any(map(any, expected)):
        assert found is not None
        assert found.tolist() == expected
    else:
        assert found is None


def test_repeats_are_found_across_blocks() -> None:
    rows = np.tile(np.arange(10, dtype=np.int32), (600, 1))
    rows[[3, 511, 599], 7] = 2
    found = find_repeats(rows)
    assert found is not None
    assert np.argwhere(found).tolist() == [[3, 7], [511, 7], [599, 7]]
