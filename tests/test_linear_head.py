"""Heads that are linear maps."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from shoplens.errors import ModelError
from shoplens.models import unit
from shoplens.models.linear_head import LinearHead


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def head() -> LinearHead:
    return LinearHead(floats(3, 5), floats(3), {"user": floats(3), "seller": floats(3, seed=1)})


def test_vectors_by_hand() -> None:
    found = LinearHead(
        np.array([[2, 0], [0, 1]], np.float32),
        np.array([0, 1], np.float32),
        {"user": np.array([0, 0.8], np.float32)},
    )
    features = np.array([[1, 0], [0, 1]], np.float32)
    halves = np.array([[2, 1], [0, 2]]) / np.sqrt([[5], [4]])
    np.testing.assert_allclose(found.uncentred(features), halves, atol=1e-6)
    centred = unit((halves - [0, 0.8]).astype(np.float32))
    np.testing.assert_allclose(found.vectors(features, "user"), centred, atol=1e-6)
    # No centre is known of sellers.
    np.testing.assert_allclose(found.vectors(features, "seller"), halves, atol=1e-6)
    mixed = found.vectors(features, ["seller", "user"])
    np.testing.assert_allclose(mixed, [halves[0], centred[1]], atol=1e-6)


def test_few_rows_and_many_give_the_same() -> None:
    many = unit(floats(40, 5))
    few = np.concatenate([head().vectors(row[None], "user") for row in many])
    np.testing.assert_allclose(head().vectors(many, "user"), few, atol=1e-6)


def test_a_file_holds_all_of_it() -> None:
    made = head()
    read = LinearHead.from_bytes(made.to_bytes())
    assert read.digest == made.digest
    assert (read.dimension, read.n_features, sorted(read.centres)) == (3, 5, ["seller", "user"])
    features = unit(floats(4, 5))
    domains = ["user", "seller", "user", "seller"]
    assert np.array_equal(read.vectors(features, domains), made.vectors(features, domains))  # type: ignore[arg-type]


def test_half_the_bits_are_taken_only_where_they_hold_it() -> None:
    made = head()
    with pytest.raises(ModelError, match="cannot be kept in 16 bits"):
        made.to_bytes(half=True)
    rounded = LinearHead(made.weight.astype(np.float16).astype(np.float32), made.bias)
    data = rounded.to_bytes(half=True)
    assert len(data) < len(rounded.to_bytes())
    assert LinearHead.from_bytes(data).digest == rounded.digest


def test_every_number_counts_for_the_digest() -> None:
    made = head()
    others = [
        LinearHead(made.weight + 1, made.bias, made.centres),
        LinearHead(made.weight, made.bias + 1, made.centres),
        LinearHead(made.weight, made.bias, {"user": made.centres["user"]}),
        LinearHead(made.weight, made.bias),
    ]
    assert len({made.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("weight", "bias", "centres", "problem"),
    [
        (floats(3), floats(3), {}, "needs a bias"),
        (floats(3, 5), floats(5), {}, r"of shape \(3,\), got"),
        (floats(3, 5), floats(3), {"user": floats(5)}, r"of shape \(3,\), got"),
        (floats(3, 5) * np.inf, floats(3), {}, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(
    weight: np.ndarray, bias: np.ndarray, centres: dict, problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        LinearHead(weight, bias, centres)


def saved_array(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", r"no \.npz file"),
        (b"PK\x03\x04 and no more", r"no \.npz file"),
        (saved_array(floats(3)), r"no \.npz file"),
        (zipped("weight", b"words"), r"no \.npz file"),
        (saved(bias=floats(3)), r"no \.npz file of `weight` and `bias`"),
        (saved(weight=np.array([{}], dtype=object), bias=floats(1)), r"no \.npz file"),
        (saved(weight=np.array(["a"]), bias=floats(1)), r"no \.npz file"),
        (saved(weight=floats(3, 5), bias=floats(3), nobody=floats(3)), "unknown domains: nobody"),
    ],
)
def test_a_faulty_file_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        LinearHead.from_bytes(data)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(head().to_bytes())
    data[data.index(b"\x93NUMPY") + 140] ^= 0x40
    with pytest.raises(ModelError):
        LinearHead.from_bytes(bytes(data))
