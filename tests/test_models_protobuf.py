from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ModelError
from shoplens.models.protobuf import fields, in_field, number_field

NUMBERS = st.integers(1, 2**20)


@given(st.lists(st.tuples(NUMBERS, st.binary(max_size=300))))
def test_fields_are_read_as_they_were_written(written: list[tuple[int, bytes]]) -> None:
    message = b"".join(in_field(number, content) for number, content in written)
    found = list(fields(message))
    assert [(field.number, field.content) for field in found] == written
    assert b"".join(field.raw for field in found) == message


@given(NUMBERS, st.integers(0, 2**60), st.binary(max_size=9))
def test_numbers_are_passed_over(number: int, value: int, after: bytes) -> None:
    floats = bytes([3 << 3 | 5, 1, 2, 3, 4, 4 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8])
    message = number_field(number, value) + floats + in_field(9, after)
    assert [field.number for field in fields(message)] == [number, 3, 4, 9]
    assert [field.content for field in fields(message)] == [b"", b"", b"", after]


@pytest.mark.parametrize("length", range(1, 7))
def test_a_message_that_ends_too_early_is_refused(length: int) -> None:
    message = in_field(300, b"abcd")
    with pytest.raises(ModelError, match="ends too early"):
        list(fields(message[:length]))


def test_an_unknown_kind_of_field_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown kind 7"):
        list(fields(bytes([1 << 3 | 7, 0])))
