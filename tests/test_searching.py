"""Searching from Python, and its congruence with the command."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import ExifTags, Image

import shoplens
from shoplens import Box, Embeddings, PhotoSet, SearchResult, embed, embed_photo, rank
from shoplens.cli import main
from shoplens.errors import DataError, MissingError, PhotoError, RankingError, ShoplensError
from shoplens.models import Encoder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of seller photos."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in range(6):
        picture(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A user's photo that shows what `3.png` of the shop shows, within a box."""
    scene = Image.new("RGB", (200, 150), "grey")
    scene.paste(picture(3), (50, 40))
    scene.save(tmp_path / "snapshot.png")
    return tmp_path / "snapshot.png"


BOX = Box.from_xywh(50, 40, 64, 48)


def test_a_photo_is_found_in_a_folder(shop: Path, snapshot: Path) -> None:
    found = shoplens.search(snapshot, shop, box=BOX, k=3)
    assert isinstance(found, SearchResult)
    assert [hit.rank for hit in found] == [1, 2, 3]
    assert found[0].path == "3.png"
    assert found[0].score > 0.8
    assert found[0].product_id is None
    assert found.n_gallery == 6
    assert found.exact


def test_a_box_may_be_proposed(shop: Path, snapshot: Path) -> None:
    found = shoplens.search(snapshot, shop, box="auto")
    assert found.query is not None
    assert found.query.box == shoplens.propose_boxes(snapshot)[0].box
    assert found.hits == shoplens.search(snapshot, shop, box=found.query.box).hits
    assert found[0].path == "3.png"
    assert found.to_json()["query_box"] == str(found.query.box)
    assert shoplens.search(snapshot, shop).to_json()["query_box"] is None


@pytest.mark.parametrize("box", [BOX, "50,40,64,48", "rel:0.25,0.2666666666666667,0.32,0.32"])
def test_a_box_may_be_a_text(shop: Path, snapshot: Path, box: Box | str) -> None:
    expected = shoplens.search(snapshot, shop, box=BOX)
    found = shoplens.search(snapshot, shop, box=box)
    assert [hit.path for hit in found] == [hit.path for hit in expected]
    assert found[0].score == pytest.approx(expected[0].score, abs=1e-6)


def test_a_photo_may_be_bytes_or_a_picture(shop: Path, snapshot: Path) -> None:
    expected = shoplens.search(snapshot, shop, box=BOX).hits
    assert shoplens.search(snapshot.read_bytes(), shop, box=BOX).hits == expected
    assert shoplens.search(str(snapshot), str(shop), box=BOX).hits == expected
    with Image.open(snapshot) as image:
        assert shoplens.search(image, shop, box=BOX).hits == expected


def test_a_picture_is_turned_upright(encoder: Encoder) -> None:
    upright = picture(1, (80, 40))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    buffer.seek(0)
    with Image.open(buffer) as image:
        turned = embed_photo(image, encoder)
    np.testing.assert_array_equal(turned, embed_photo(upright, encoder))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pictures_of_other_modes_are_read(encoder: Encoder, mode: str) -> None:
    assert np.isfinite(embed_photo(picture(2).convert(mode), encoder)).all()


def test_what_is_searched_may_be_a_dataset_photos_or_vectors(
    make_dataset: Callable[..., Path], encoder: Encoder
) -> None:
    folder = make_dataset()
    dataset = shoplens.read_dataset(folder)
    query = dataset.queries[0].path
    expected = shoplens.search(query, folder).hits
    vectors = embed(dataset.gallery, encoder)
    for gallery in (str(folder), dataset, dataset.gallery, vectors):
        assert shoplens.search(query, gallery, encoder=encoder).hits == expected
    assert shoplens.search(query, vectors).hits == expected
    assert expected[0].product_id == "a"
    bare = Embeddings(vectors.ids, vectors.vectors, fingerprint=vectors.fingerprint)
    hits = shoplens.search(query, bare).hits
    assert [(hit.photo_id, hit.score) for hit in hits] == [
        (hit.photo_id, hit.score) for hit in expected
    ]
    assert {(hit.path, hit.product_id) for hit in hits} == {("", None)}


def test_embed_photo_and_rank_compose(shop: Path, snapshot: Path, encoder: Encoder) -> None:
    gallery = embed(shoplens.read_gallery(shop), encoder)
    ranking = rank(embed_photo(snapshot, encoder, box=BOX), gallery)
    hits = shoplens.search(snapshot, gallery, box=BOX, encoder=encoder)
    assert ranking.ids[0].tolist() == [hit.photo_id for hit in hits]
    assert ranking.scores is not None
    assert ranking.scores[0].tolist() == [hit.score for hit in hits]


def test_a_query_alone_and_among_others_finds_the_same(make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    dataset = shoplens.read_dataset(folder)
    results = shoplens.search_each(dataset.queries, dataset)
    assert [result.query.id for result in results] == dataset.queries.ids.tolist()
    for photo, result in zip(dataset.queries, results, strict=True):
        assert shoplens.search(photo.path, folder, box=photo.box).hits == result.hits


def test_a_query_that_fails_spoils_no_other(make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    (folder / "queries" / "0.png").write_bytes(b"no image")
    dataset = shoplens.read_dataset(folder)
    failed, found = shoplens.search_each(dataset.queries, dataset)
    assert failed.failure is not None
    assert failed.failure.reason == "not_an_image"
    assert not failed.hits
    assert found.failure is None
    assert found[0].product_id == "b"


def test_faults_are_told(shop: Path, snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no file"):
        shoplens.search(tmp_path / "absent.png", shop)
    with pytest.raises(PhotoError, match="not an image"):
        shoplens.search(b"no image", shop)
    with pytest.raises(PhotoError, match="entirely outside"):
        shoplens.search(snapshot, shop, box="500,500,9,9")
    with pytest.raises(PhotoError, match="is not x,y,w,h"):
        shoplens.search(snapshot, shop, box="somewhere")
    with pytest.raises(MissingError):
        shoplens.search(snapshot, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        shoplens.search(snapshot, tmp_path / "empty")
    with pytest.raises(RankingError, match="k must be"):
        shoplens.search(snapshot, shop, k=0)
    for file in shop.iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(ShoplensError, match="none of the 6"):
        shoplens.search(snapshot, shop)


def test_vectors_of_another_model_are_refused(shop: Path, snapshot: Path, encoder: Encoder) -> None:
    gallery = embed(shoplens.read_gallery(shop), encoder)
    other = Embeddings(gallery.ids, gallery.vectors, model_name="other", fingerprint="0123")
    with pytest.raises(RankingError, match="embed both with one model"):
        shoplens.search(snapshot, other)


def test_embedding_uses_the_cache_unless_told_otherwise(shop: Path, encoder: Encoder) -> None:
    photos = shoplens.read_gallery(shop)
    assert embed(photos, encoder, cache=False).n_cached == 0
    assert embed(photos, encoder).n_cached == 0
    assert embed(photos, encoder).n_cached == len(photos)
    assert embed(photos, encoder, cache=False).n_cached == 0


def test_a_cache_that_cannot_be_kept_is_told(
    shop: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "file"))
    with pytest.warns(shoplens.ShoplensWarning, match="could not be saved"):
        embed(shoplens.read_gallery(shop), encoder)


def test_the_command_finds_what_python_finds(
    shop: Path, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", str(snapshot), "--gallery", str(shop), "--box", str(BOX), "--json", "-"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    found = shoplens.search(snapshot, shop, box=BOX)
    assert told["hits"] == [hit.to_json() for hit in found]
    assert told["exact"] is True


def test_the_command_takes_several_photos(
    shop: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    words = ["search", str(snapshot), str(broken), str(shop / "2.png"), "-k", "2"]
    assert main([*words, "--gallery", str(shop), "--json", "-"]) == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)["results"]
    assert [result["query"]["path"] for result in results] == [
        str(snapshot), str(broken), str(shop / "2.png"),
    ]  # fmt: skip
    assert [len(result["hits"]) for result in results] == [2, 0, 2]
    assert results[2]["hits"][0]["path"] == "2.png"
    assert "1 failed, not_an_image" in captured.err
    assert main([*words, "--gallery", str(shop), "--box", "0,0,9,9"]) == 2


def test_the_command_takes_a_table_of_queries(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_dataset()
    expected = shoplens.search_each(shoplens.read_queries(folder), folder)
    for queries in (folder, folder / "queries.csv"):
        words = ["search", "--queries", str(queries), "--gallery", str(folder), "--json", "-"]
        assert main(words) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert [result["hits"] for result in results] == [
            [hit.to_json() for hit in result] for result in expected
        ]
    assert main(["search", "--gallery", str(folder)]) == 2


@pytest.fixture
def vectors(shop: Path, tmp_path: Path, encoder: Encoder) -> Path:
    """The shop's vectors in a file."""
    pytest.importorskip("pyarrow")
    photos = shoplens.read_gallery(shop)
    embed(photos, encoder).save(tmp_path / "v.parquet", photos)
    return tmp_path / "v.parquet"


def test_vectors_of_a_folder_are_found_by_path(
    shop: Path, snapshot: Path, vectors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(77).save(shop / "00-sorts-first.png")
    words = ["search", str(snapshot), "--gallery", str(shop), "--box", str(BOX), "--json", "-"]
    assert main([*words, "--gallery-vectors", str(vectors)]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["hits"][0]["path"] == "3.png"
    assert told["failures"] == {"gallery": {"no_vector": 1}}
    assert "00-sorts-first.png" in captured.err


def test_a_file_that_changed_has_no_vector(shop: Path, vectors: Path) -> None:
    picture(99).save(shop / "3.png")
    later = vectors.stat().st_mtime + 5
    os.utime(shop / "3.png", (later, later))
    os.utime(shop / "4.png", (later, later))  # Touched, but still the same.
    loaded = Embeddings.load(vectors, shoplens.read_gallery(shop))
    assert [failure.name for failure in loaded.failures] == ["3.png"]
    assert "is not the one" in loaded.failures[0].detail


def test_a_renamed_photo_of_a_table_keeps_its_vector(
    make_dataset: Callable[..., Path], tmp_path: Path, encoder: Encoder
) -> None:
    pytest.importorskip("pyarrow")
    folder = make_dataset()
    photos = shoplens.read_gallery(folder)
    embed(photos, encoder).save(tmp_path / "v.parquet", photos)
    table = (folder / "gallery.csv").read_text()
    # Photo 0 is under another name now; photos 1 and 2 have changed places.
    shutil.copy(folder / "gallery" / "0.png", folder / "gallery" / "first.png")
    table = table.replace("gallery/0.png", "gallery/first.png")
    table = table.replace("1,gallery/1.png", "1,gallery/x.png").replace(
        "2,gallery/2.png", "2,gallery/1.png"
    )
    (folder / "gallery.csv").write_text(table.replace("gallery/x.png", "gallery/2.png"))
    loaded = Embeddings.load(tmp_path / "v.parquet", shoplens.read_gallery(folder))
    assert [failure.id for failure in loaded.failures] == [1, 2]


def test_slices_keep_how_photos_are_known(shop: Path) -> None:
    photos = shoplens.read_gallery(shop)
    assert photos.numbered
    assert photos[2:4].numbered
    assert not PhotoSet(list(photos)).numbered
