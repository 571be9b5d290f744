from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoplens import Embeddings, Photo, PhotoSet, rank
from shoplens.errors import MissingError, RankingError
from shoplens.records import Failure
from shoplens.vectors.embeddings import check_same_model

V3 = [[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]]


def photo_set(ids: Sequence[int] = (5, -6, 7)) -> PhotoSet:
    return PhotoSet(
        [Photo(i, f"é {i}.jpg", Path(f"é {i}.jpg"), "seller", product_id=f"p{i}") for i in ids]
    )


def embedded(photos: PhotoSet, failed: Sequence[int] = (), dimension: int = 1280) -> Embeddings:
    vectors = np.random.default_rng(0).standard_normal((len(photos), dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[list(failed)] = 0
    failures = tuple(
        Failure(row, photos[row].id, photos[row].name, "corrupt", "broken") for row in failed
    )
    digests = tuple("ab" * 32 for _ in photos)
    return Embeddings(photos.ids, vectors, failures, "model", "0123456789abcdef", digests)


def write_parquet(path: Path, meta: object = None, **columns: Any) -> Path:
    table = pa.table(columns)
    if meta is not None:
        table = table.replace_schema_metadata({b"shoplens": meta})
    pq.write_table(table, path)
    return path


def write_npy(path: Path, rows: npt.ArrayLike, kind: str = "float32") -> Path:
    np.save(path, np.array(rows, dtype=kind))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
def test_round_trip_keeps_vectors_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    photos = photo_set(range(50))
    saved = embedded(photos, failed=[0, 17])
    saved.save(tmp_path / f"v{suffix}", photos)
    loaded = Embeddings.load(tmp_path / f"v{suffix}", photos)
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    np.testing.assert_array_equal(loaded.ids, saved.ids)
    np.testing.assert_array_equal(loaded.has_vector, saved.has_vector)
    assert loaded.vectors.dtype == np.float32
    assert [(f.row, f.id, f.name) for f in loaded.failures] == [
        (f.row, f.id, f.name) for f in saved.failures
    ]


def test_parquet_keeps_reasons_and_the_model(tmp_path: Path) -> None:
    photos = photo_set()
    embedded(photos, failed=[1]).save(tmp_path / "v.parquet", photos)
    loaded = Embeddings.load(tmp_path / "v.parquet", photos)
    assert loaded.failures_by_reason() == {"corrupt": 1}
    assert (loaded.model_name, loaded.fingerprint) == ("model", "0123456789abcdef")


def test_parquet_holds_the_columns_of_the_format(tmp_path: Path) -> None:
    photos = photo_set()
    saved = embedded(photos, failed=[1], dimension=2)
    saved.save(tmp_path / "v.parquet", photos)
    table = pq.read_table(tmp_path / "v.parquet")
    rows = table.to_pylist()
    assert list(rows[0]) == [
        "photo_id", "product_id", "path", "sha256", "domain", "vector", "failure",
    ]  # fmt: skip
    assert [row["photo_id"] for row in rows] == [5, -6, 7]
    assert rows[0]["product_id"] == "p5"
    assert rows[0]["path"] == "é 5.jpg"
    assert rows[0]["sha256"] == "ab" * 32
    assert rows[0]["domain"] == "seller"
    assert [row["failure"] for row in rows] == [None, "corrupt", None]
    assert not any(rows[1]["vector"])
    np.testing.assert_array_equal(np.array(rows[2]["vector"], np.float32), saved.vectors[2])
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 2)
    assert table.schema.field("photo_id").type == pa.int32()
    assert json.loads(table.schema.metadata[b"shoplens"])["fingerprint"] == "0123456789abcdef"


def test_npy_holds_nan_where_a_photo_failed(tmp_path: Path) -> None:
    photos = photo_set()
    embedded(photos, failed=[1]).save(tmp_path / "v.npy", photos)
    stored = np.load(tmp_path / "v.npy")
    assert stored.dtype == np.float32
    assert np.isnan(stored).all(axis=1).tolist() == [False, True, False]


def test_saving_leaves_the_vectors_as_they_were(tmp_path: Path) -> None:
    photos = photo_set()
    saved = embedded(photos, failed=[1])
    saved.save(tmp_path / "v.npy", photos)
    assert (saved.vectors[1] == 0).all()


def test_names_that_are_no_utf8_can_be_saved(tmp_path: Path) -> None:
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    photos = PhotoSet([Photo(0, name, Path(name), "seller")])
    embedded(photos).save(tmp_path / "v.parquet", photos)
    assert pq.read_table(tmp_path / "v.parquet")["path"].to_pylist() == ["\\udcff.jpg"]


def test_vectors_of_other_photos_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(RankingError, match="belong to other photos"):
        embedded(photo_set([5, 7, -6])).save(tmp_path / "v.npy", photo_set())


@pytest.mark.parametrize("suffix", [".csv", ".npz", ""])
def test_other_suffixes_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    with pytest.raises(RankingError, match=r"written as \.parquet, \.lance or \.npy"):
        embedded(photo_set()).save(path, photo_set())
    path.write_bytes(b"x")
    with pytest.raises(RankingError, match=r"read from \.parquet, \.lance or \.npy"):
        Embeddings.load(path, photo_set())


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="do not exist"):
        Embeddings.load(tmp_path / "v.npy", photo_set())


def test_a_folder_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"folder .* is not there"):
        embedded(photo_set()).save(tmp_path / "none" / "v.npy", photo_set())


# Vectors made elsewhere.


def test_a_damaged_npy_is_refused_with_a_reason(tmp_path: Path) -> None:
    # Python's parser runs out of memory on this header and says nothing at all.
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"-" * 9000 + b"1, 2), }"
    path = tmp_path / "v.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(RankingError, match=r"is not a \.npy array: \w+"):
        Embeddings.load(path, photo_set())


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_npy_rows_are_scaled_to_unit_length(tmp_path: Path, kind: str) -> None:
    loaded = Embeddings.load(write_npy(tmp_path / "v.npy", V3, kind), photo_set())
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_allclose(loaded.vectors, [[1, 0], [0, 1], [0.6, 0.8]], atol=1e-7)
    assert loaded.fingerprint is None
    assert loaded.failures == ()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_very_long_and_very_short_vectors_have_a_direction(tmp_path: Path, scale: float) -> None:
    loaded = Embeddings.load(write_npy(tmp_path / "v.npy", np.array(V3) * scale), photo_set())
    np.testing.assert_allclose(loaded.vectors, [[1, 0], [0, 1], [0.6, 0.8]], atol=1e-6)


def test_a_row_of_nan_is_a_counted_failure(tmp_path: Path) -> None:
    rows = [[1, 0], [np.nan, np.nan], [0, 1]]
    loaded = Embeddings.load(write_npy(tmp_path / "v.npy", rows), photo_set())
    assert [(f.row, f.id, f.reason) for f in loaded.failures] == [(1, -6, "no_vector")]
    assert loaded.vectors[1].tolist() == [0, 0]


@pytest.mark.parametrize("bad", [[0, 0], [np.nan, 1], [np.inf, 1], [-np.inf, np.nan]])
def test_rows_without_direction_are_refused_by_name(tmp_path: Path, bad: list[float]) -> None:
    path = write_npy(tmp_path / "v.npy", [[1, 0], bad, [0, 1]])
    with pytest.raises(RankingError, match=r"1 vectors are zero or not finite.*photo -6 \(é -6"):
        Embeddings.load(path, photo_set())


@pytest.mark.parametrize(
    "rows", [V3[:2], [*V3, [1, 1]], [1, 2, 3], np.ones((3, 2, 2)), np.empty((0, 2))]
)
def test_npy_of_another_shape_is_refused(tmp_path: Path, rows: npt.ArrayLike) -> None:
    with pytest.raises(RankingError, match="it must be a float array of 3 rows"):
        Embeddings.load(write_npy(tmp_path / "v.npy", rows), photo_set())


@pytest.mark.parametrize("kind", ["int32", "complex64", "U4", "bool"])
def test_npy_of_another_type_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RankingError, match="it must be a float array"):
        Embeddings.load(write_npy(tmp_path / "v.npy", [[1, 0]] * 3, kind), photo_set())


def test_files_that_are_no_npy_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "archive.npz", vectors=np.ones((3, 2)))
    for data in (b"", b"PK", b"text", (tmp_path / "archive.npz").read_bytes()):
        (tmp_path / "v.npy").write_bytes(data)
        with pytest.raises(RankingError, match=r"v\.npy is not a \.npy array"):
            Embeddings.load(tmp_path / "v.npy", photo_set())


def test_a_file_without_any_vector_is_refused(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "v.npy", np.full((3, 2), np.nan))
    with pytest.raises(RankingError, match="no vector for any of the 3 photos"):
        Embeddings.load(path, photo_set())
    path = write_parquet(tmp_path / "v.parquet", photo_id=[1, 2], vector=V3[:2])
    with pytest.raises(RankingError, match="no vector for any of the 3 photos"):
        Embeddings.load(path, photo_set())


def test_parquet_rows_are_matched_by_photo_id(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "v.parquet", photo_id=[99, 7, 5, -6], vector=[[5.0, 5.0], V3[2], V3[0], V3[1]]
    )
    loaded = Embeddings.load(path, photo_set())
    np.testing.assert_allclose(loaded.vectors, [[1, 0], [0, 1], [0.6, 0.8]], atol=1e-7)
    np.testing.assert_array_equal(loaded.ids, photo_set().ids)


def test_photos_that_parquet_does_not_hold_are_counted(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "v.parquet", photo_id=[7, 8], vector=V3[:2])
    loaded = Embeddings.load(path, photo_set())
    assert [(f.row, f.reason) for f in loaded.failures] == [(0, "no_vector"), (1, "no_vector")]
    assert loaded.has_vector.tolist() == [False, False, True]


def test_null_vectors_and_noted_failures_are_failures(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "v.parquet",
        photo_id=[7, 5, -6],
        vector=pa.array([None, V3[0], V3[1]], pa.list_(pa.float32())),
        failure=[None, "too_large", None],
    )
    loaded = Embeddings.load(path, photo_set())
    assert [(f.id, f.reason) for f in loaded.failures] == [(5, "too_large"), (7, "no_vector")]
    assert loaded.vectors[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float16()), pa.list_(pa.float64()), pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 2), pa.list_(pa.int64()),
    ],
    ids=str,
)  # fmt: skip
def test_lists_of_any_number_are_vectors(tmp_path: Path, kind: pa.DataType) -> None:
    vectors = [np.array([3, 4]), np.array([0, 1]), np.array([1, 0])]
    if pa.types.is_float16(kind.value_type):
        vectors = [v.astype(np.float16) for v in vectors]
    path = write_parquet(
        tmp_path / "v.parquet", photo_id=[5, -6, 7], vector=pa.array(vectors, kind)
    )
    loaded = Embeddings.load(path, photo_set())
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_allclose(loaded.vectors, [[0.6, 0.8], [0, 1], [1, 0]], atol=1e-7)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"vector": V3}, r"columns \['photo_id'\] are missing"),
        ({"photo_id": [5, -6, 7]}, r"columns \['vector'\] are missing"),
        ({"photo_id": [5, 7, 7], "vector": V3}, "photo_id 7 appears twice"),
        ({"photo_id": ["5", "-6", "7"], "vector": V3}, "it must hold integers"),
        ({"photo_id": [5, -6, None], "vector": V3}, "1 nulls; it must hold integers without"),
        ({"photo_id": [5.0, -6.5, 7.0], "vector": V3}, "it must hold integers"),
        ({"photo_id": [5, -6, 7], "vector": [1.0, 2.0, 3.0]}, "it must hold lists"),
        ({"photo_id": [5, -6, 7], "vector": ["a", "b", "c"]}, "it must hold lists"),
        ({"photo_id": [5, -6, 7], "vector": [["a"], ["b"], ["c"]]}, "it must hold lists of floats"),
        ({"photo_id": [5, -6, 7], "vector": [[1.0], [1.0, 2.0], [1.0]]}, r"lengths \[1, 2\]"),
        ({"photo_id": [5, -6, 7], "vector": [[1.0, None], *V3[1:]]}, "not finite.*photo 5"),
        ({"photo_id": [5, -6, 7], "vector": [[0.0, 0.0], *V3[1:]]}, "1 vectors are zero.*photo 5"),
        (
            {"photo_id": [5], "vector": pa.array([[]], pa.list_(pa.float32()))},
            r"vectors have lengths \[0\]",
        ),
        (
            {"photo_id": [5], "vector": pa.array([None], pa.list_(pa.float32()))},
            r"vectors have lengths \[\]",
        ),
        (
            {
                "photo_id": pa.array([], pa.int64()),
                "vector": pa.array([], pa.list_(pa.float32())),
            },
            r"vectors have lengths \[\]",
        ),
    ],
)
def test_parquet_that_does_not_fit_is_refused(
    tmp_path: Path, columns: dict[str, Any], problem: str
) -> None:
    path = write_parquet(tmp_path / "v.parquet", **columns)
    with pytest.raises(RankingError, match=problem):
        Embeddings.load(path, photo_set())


@pytest.mark.parametrize("meta", [b"no json", b"[]", b"\xff"])
def test_foreign_metadata_is_refused(tmp_path: Path, meta: bytes) -> None:
    path = write_parquet(tmp_path / "v.parquet", meta, photo_id=[5, -6, 7], vector=V3)
    with pytest.raises(RankingError, match="metadata 'shoplens'"):
        Embeddings.load(path, photo_set())


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_files_that_are_no_parquet_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v.parquet").write_bytes(data)
    with pytest.raises(RankingError, match="not a Parquet file"):
        Embeddings.load(tmp_path / "v.parquet", photo_set())


def test_own_vectors_rank_without_a_fingerprint_beside_ours(tmp_path: Path) -> None:
    photos = photo_set()
    theirs = Embeddings.load(write_npy(tmp_path / "v.npy", embedded(photos).vectors), photos)
    assert rank(embedded(photos), theirs).ids[:, 0].tolist() == photos.ids.tolist()


def test_another_model_or_dimension_is_refused() -> None:
    photos = photo_set()
    ours = embedded(photos)
    with pytest.raises(RankingError, match="1280 dimensions, gallery vectors 2"):
        check_same_model(ours, embedded(photos, dimension=2))
    other = Embeddings(photos.ids, ours.vectors, (), "other", "fedcba9876543210")
    with pytest.raises(RankingError, match=r"by model \(0123456789abcdef\).*by other \(fedc"):
        check_same_model(ours, other)


def test_ids_and_vectors_must_be_as_many() -> None:
    with pytest.raises(RankingError, match="3 ids need vectors of shape"):
        Embeddings(photo_set().ids, np.zeros((2, 4), np.float32))


def test_failures_are_counted_most_frequent_first() -> None:
    reasons = ["empty", "corrupt", "corrupt"]
    failures = tuple(Failure(i, i, "p", reason, "") for i, reason in enumerate(reasons))
    made = Embeddings(np.arange(3, dtype=np.int32), np.zeros((3, 2), np.float32), failures)
    assert list(made.failures_by_reason().items()) == [("corrupt", 2), ("empty", 1)]
    assert not made.has_vector.any()
