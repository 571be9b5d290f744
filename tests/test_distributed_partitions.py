from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st

from shoplens import Embeddings, PhotoSet, embed, load_encoder, read_gallery
from shoplens.distributed import partitions as partitions_module
from shoplens.distributed.partitions import compute, cut, digest_of
from shoplens.errors import DataError
from shoplens.models import Encoder
from shoplens.records import Box, Photo
from shoplens.vectors.part_folder import Manifest, PartFolder


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model())


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    """Return seven photos, of which the fourth is damaged and the sixth not there."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(7):
        picture(i).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"no picture")
    photos = read_gallery(folder)
    (folder / "5.png").rename(tmp_path / "elsewhere.png")
    return photos


@pytest.fixture
def n_embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of photos of each call that embeds."""
    counts: list[int] = []
    original = partitions_module.embed_each

    def counted(photos: list[Photo], *args: object, **options: object) -> object:
        counts.append(len(photos))
        return original(photos, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(partitions_module, "embed_each", counted)
    return counts


def run(photos: PhotoSet, encoder: Encoder, folder: PartFolder, n_rows: int = 3) -> int:
    """Embed photos as an engine does, one partition after the other; return how many were kept."""
    folder.begin()
    pieces = list(cut(photos, n_rows))
    results = [compute(piece, encoder, folder) for piece in pieces]
    n_failed = sum(len(result.record.failures) for result in results)
    recipe = encoder.recipe
    folder.finish(
        Manifest(
            len(photos), len(pieces), n_failed, recipe.dimension, recipe.name, encoder.fingerprint
        )
    )
    return sum(result.n_kept for result in results)


@given(n=st.integers(0, 40), n_rows=st.integers(1, 50))
def test_every_photo_is_in_one_partition(n: int, n_rows: int) -> None:
    photos = PhotoSet([Photo(i, str(i), Path(str(i)), "seller") for i in range(n)])
    pieces = list(cut(photos, n_rows))
    assert [piece.number for piece in pieces] == list(range(len(pieces)))
    rows = [photo for piece in pieces for photo in piece.source.photos()]
    assert rows == list(photos)
    assert all(piece.n_photos == len(piece.source.photos()) <= n_rows for piece in pieces)
    assert all(photos[p.first_row] == p.source.photos()[0] for p in pieces if p.n_photos)


def test_parts_hold_what_one_machine_computes(
    photos: PhotoSet, toy: Encoder, tmp_path: Path
) -> None:
    expected = embed(photos, toy)
    assert run(photos, toy, PartFolder(tmp_path / "parts")) == 0
    loaded = Embeddings.load(tmp_path / "parts", photos)
    np.testing.assert_array_equal(loaded.vectors, expected.vectors)
    assert [(f.row, f.reason) for f in loaded.failures] == [(3, "not_an_image"), (5, "missing")]
    assert loaded.fingerprint == toy.fingerprint
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    expected_names = [f"part-00000{i}.parquet" for i in range(3)]
    assert names == ["_manifest.json", "_records", *expected_names]
    # Other tools read the folder as one table.
    assert pq.read_table(tmp_path / "parts")["photo_id"].to_pylist() == list(range(7))


def test_what_is_complete_is_not_computed_again(
    photos: PhotoSet, toy: Encoder, tmp_path: Path, n_embedded: list[int]
) -> None:
    folder = PartFolder(tmp_path / "parts")
    run(photos, toy, folder)
    bytes_of = {path.name: path.read_bytes() for path in (tmp_path / "parts").glob("*.parquet")}
    n_embedded.clear()
    (tmp_path / "parts" / "part-000000.parquet").unlink()
    # The first is gone; of the second the missing photo is looked for again.
    assert run(photos, toy, folder) == 0 + 2 + 1
    assert n_embedded == [3, 1]
    for name, data in bytes_of.items():
        assert (tmp_path / "parts" / name).read_bytes() == data


def test_a_photo_that_has_come_is_read(photos: PhotoSet, toy: Encoder, tmp_path: Path) -> None:
    folder = PartFolder(tmp_path / "parts")
    run(photos, toy, folder)
    (tmp_path / "elsewhere.png").rename(photos[5].path)
    assert run(photos, toy, folder) == 6
    loaded = Embeddings.load(tmp_path / "parts", photos)
    np.testing.assert_array_equal(loaded.vectors, embed(photos, toy).vectors)
    assert [f.row for f in loaded.failures] == [3]


def test_failed_photos_are_tried_again_on_request(
    photos: PhotoSet, toy: Encoder, tmp_path: Path
) -> None:
    folder = PartFolder(tmp_path / "parts")
    run(photos, toy, folder)
    picture(3).save(photos[3].path)
    piece = list(cut(photos, 3))[1]
    assert len(compute(piece, toy, folder).record.failures) == 2
    result = compute(piece, toy, folder, retry_failed=True)
    assert [failure.id for failure in result.record.failures] == [5]
    assert result.n_kept == 1
    expected = embed(photos, toy).vectors[3:6]
    vectors = np.array(folder.read_part(1)["vector"].to_pylist(), np.float32)
    np.testing.assert_array_equal(vectors, expected)


def test_another_model_or_table_is_computed_anew(
    photos: PhotoSet, toy: Encoder, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = PartFolder(tmp_path / "parts")
    run(photos, toy, folder)
    other = load_encoder(make_model("other", mean=[100.0, 100.0, 100.0]))
    assert run(photos, other, folder) == 0
    loaded = Embeddings.load(tmp_path / "parts", photos)
    assert loaded.fingerprint == other.fingerprint
    np.testing.assert_array_equal(loaded.vectors, embed(photos, other).vectors)
    fewer = photos[:4]
    # The first partition is the same, of the second only the beginning.
    assert run(fewer, other, folder) == 3
    assert Embeddings.load(tmp_path / "parts", fewer).vectors.shape == (4, 48)
    assert not (tmp_path / "parts" / "part-000002.parquet").exists()
    assert not (tmp_path / "parts" / "_records" / "part-000002.json").exists()


def test_a_hash_tells_tables_apart() -> None:
    photo = Photo(1, "a.jpg", Path("x/a.jpg"), "user", Box(0, 0, 5, 5))
    others = [
        replace(photo, id=2),
        replace(photo, name="b.jpg"),
        replace(photo, domain="seller"),
        replace(photo, box=Box(0, 0, 5, 6)),
        replace(photo, box=None),
        replace(photo, box_frame="stored"),
        replace(photo, product_id="p"),
    ]
    assert len({digest_of([p]) for p in [photo, *others]}) == 8
    assert digest_of([photo]) == digest_of([replace(photo, path=Path("y/a.jpg"))])


def test_a_catalogue_that_changes_under_a_run_is_refused(
    photos: PhotoSet, toy: Encoder, tmp_path: Path
) -> None:
    piece = replace(next(cut(photos, 3)), n_photos=4)
    with pytest.raises(DataError, match="has 3 photos but had 4"):
        compute(piece, toy, PartFolder(tmp_path))


def test_no_photos_make_a_folder_without_rows(toy: Encoder, tmp_path: Path) -> None:
    folder = PartFolder(tmp_path / "parts")
    run(PhotoSet([]), toy, folder)
    assert folder.read_all().num_rows == 0
