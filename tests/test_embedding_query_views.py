from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run, picture
from PIL import Image, ImageOps
from test_embedding import Brightness

import shoplens
from shoplens import (
    Box,
    Embeddings,
    Photo,
    PhotoSet,
    VectorCache,
    embed,
    embed_photo,
    load_encoder,
    read_dataset,
)
from shoplens.confidence import Calibration
from shoplens.embedding.query_views import MARGIN, MOST, ViewEncoder
from shoplens.errors import CatalogError, ModelError, ShoplensError
from shoplens.models import Encoder
from shoplens.models.ensemble import Ensemble, Member
from shoplens.pixels.crops import with_margin

SIZE = (160, 120)
BOX = Box(40, 30, 120, 90)


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model(centres={"user": [0.05] * 48}))


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    """Queries with a box, one of which is damaged, and one without a box."""
    rows = []
    for i in range(4):
        path = tmp_path / f"{i}.png"
        picture(i, SIZE).save(path)
        rows.append(Photo(i, path.name, path, "user", BOX if i < 3 else None))
    rows[1].path.write_bytes(b"no picture")
    return PhotoSet(rows)


def mirrored(box: Box | None) -> Box | None:
    return None if box is None else Box(SIZE[0] - box.x1, box.y0, SIZE[0] - box.x0, box.y1)


def mean_of_views(photo: Photo, encoder: Encoder, n: int) -> npt.NDArray[np.float32]:
    """Embed each view as a photo of its own."""
    with Image.open(photo.path) as image:
        image.load()
    wide = None if photo.box is None else with_margin(photo.box, MARGIN, SIZE)
    turned = ImageOps.mirror(image)
    views = [(image, photo.box), (turned, mirrored(photo.box)), (image, wide)]
    views.append((turned, mirrored(wide)))
    vectors = [embed_photo(picture, encoder, box=box) for picture, box in views[:n]]
    mean = np.mean(vectors, axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


@pytest.mark.parametrize("n", range(1, MOST + 1))
def test_a_vector_is_the_mean_of_those_of_the_views(photos: PhotoSet, toy: Encoder, n: int) -> None:
    found = embed(photos, toy, views=n)
    assert [failure.row for failure in found.failures] == [1]
    assert (found.fingerprint, found.views) == (toy.fingerprint, n)
    assert found.vectors.dtype == np.float32
    for row in (0, 2, 3):
        expected = mean_of_views(photos[row], toy, n)
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-5)


def test_views_differ(photos: PhotoSet, toy: Encoder) -> None:
    by_number = [embed(photos, toy, views=n).vectors for n in range(1, MOST + 1)]
    for n, vectors in enumerate(by_number):
        for other in by_number[:n]:
            assert not np.allclose(vectors[0], other[0])
    # Without a box there is no margin.
    np.testing.assert_allclose(by_number[1][3], by_number[3][3], atol=1e-6)


def test_of_models_side_by_side_each_view_has_a_vector(
    photos: PhotoSet, toy: Encoder, make_model: Callable[..., Path]
) -> None:
    other = load_encoder(make_model("other", fit="pad", zooms=[1.0, 1.3]))
    both = Ensemble("both", [Member(toy, 1), Member(other, 2)])
    found = embed(photos, both, views=3)
    for row in (0, 2, 3):
        expected = mean_of_views(photos[row], both, 3)
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-5)


class Batches(Brightness):
    """As on a graphics processor."""

    batch_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode(self, pixels: npt.NDArray[np.uint8], domains: object) -> npt.NDArray[np.float32]:
        self.sizes.append(len(pixels))
        means = pixels.mean(axis=(1, 2)).astype(np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def test_in_batches_the_vectors_are_the_same(photos: PhotoSet) -> None:
    encoder = Batches()
    assert ViewEncoder(encoder, 4).batch_size == 2
    found = embed(photos, encoder, views=4, cache=False)
    assert sorted(encoder.sizes) == [4, 8]
    alone = embed(photos, Brightness(), views=4, cache=False)
    np.testing.assert_allclose(found.vectors, alone.vectors, atol=1e-6)
    assert [failure.row for failure in found.failures] == [1]


def test_they_are_cached_apart_from_the_photos(
    photos: PhotoSet, toy: Encoder, tmp_path: Path
) -> None:
    with VectorCache(toy.fingerprint, tmp_path / "vectors") as cache:
        plain = embed(photos, toy, cache=cache)
        first = embed(photos, toy, views=4, cache=cache)
        again = embed(photos, toy, views=4, cache=cache)
        fewer = embed(photos, toy, views=2, cache=cache)
    assert (first.n_cached, again.n_cached, fewer.n_cached) == (0, 3, 0)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert not np.allclose(plain.vectors[0], first.vectors[0])
    usual = embed(photos, toy, views=4)
    assert embed(photos, toy, views=4).n_cached == 3
    np.testing.assert_array_equal(usual.vectors, first.vectors)


@pytest.mark.parametrize("n", [0, MOST + 1])
def test_there_cannot_be_any_number(photos: PhotoSet, toy: Encoder, n: int) -> None:
    with pytest.raises(ShoplensError, match=f"1 to {MOST} views, not {n}"):
        embed(photos, toy, views=n)


def test_no_photos_give_no_vectors(toy: Encoder) -> None:
    assert embed(PhotoSet([]), toy, views=3).vectors.shape == (0, 48)
    assert ViewEncoder(toy, 3).embed([], []).shape == (0, 48)


def test_files_of_vectors_say_how_many(photos: PhotoSet, toy: Encoder, tmp_path: Path) -> None:
    found = embed(photos, toy, views=3)
    found.save(tmp_path / "queries.parquet", photos)
    loaded = Embeddings.load(tmp_path / "queries.parquet", photos)
    assert (loaded.views, loaded.fingerprint) == (3, toy.fingerprint)
    gallery = embed(PhotoSet(replace(photo, domain="seller") for photo in photos), toy)
    assert shoplens.rank(loaded, gallery).chain == ("query-views(3)", "exact")
    assert shoplens.rank(gallery, gallery).chain == ("exact",)


QUERIES = [(i, "abc"[i % 3], "8,6,40,36") for i in range(6)]


def test_commands_take_the_option(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    root, model = make_dataset(queries=QUERIES), make_model()
    expected = embed(read_dataset(root).queries, load_encoder(model), views=4)
    words = ("--model", model, "--query-views", "4")
    ranked = run(
        "rank", root, "-o", tmp_path / "r.npz", *words,
        "--save-vectors", tmp_path / "saved", "--json", "-",
    )  # fmt: skip
    assert ranked.json["chain"] == ["query-views(4)", "exact"]
    saved = Embeddings.load(tmp_path / "saved" / "queries.parquet", read_dataset(root).queries)
    np.testing.assert_array_equal(saved.vectors, expected.vectors)
    assert run("evaluate", root, *words, "--json", "-").json["chain"] == ranked.json["chain"]
    file = tmp_path / "queries.parquet"
    assert run("embed", root, "--queries", *words, "-o", file).code == 0
    loaded = Embeddings.load(file, read_dataset(root).queries)
    assert loaded.views == 4
    np.testing.assert_array_equal(loaded.vectors, expected.vectors)
    again = run(
        "rank", root, "-o", tmp_path / "again.npz", "--model", model, "--query-vectors", file,
        "--json", "-",
    )  # fmt: skip
    assert again.json["chain"] == ranked.json["chain"]


def test_searches_take_views(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    root, model = make_dataset(queries=QUERIES), make_model()
    encoder, dataset = load_encoder(model), read_dataset(root)
    query, shop = dataset.queries[1], tmp_path / "shop"
    gallery = embed(dataset.gallery, encoder)
    expected = gallery.vectors @ embed(dataset.queries, encoder, views=3).vectors[1]
    plain = gallery.vectors @ embed(dataset.queries, encoder).vectors[1]
    assert not np.allclose(expected, plain)
    shoplens.index(root, shop, encoder=encoder)

    def scores(result: shoplens.SearchResult) -> list[float]:
        by_id = {hit.photo_id: hit.score for hit in result}
        return [by_id[photo_id] for photo_id in gallery.ids.tolist()]

    with shoplens.open_catalog(shop, read_only=True) as catalog:
        for where in (gallery, catalog):
            asked = {"query_views": 3, "encoder": encoder}
            one = shoplens.search(query.path, where, box=query.box, **asked)  # type: ignore[arg-type]
            each = shoplens.search_each(dataset.queries, where, **asked)  # type: ignore[arg-type]
            np.testing.assert_allclose(scores(one), expected, atol=1e-5)
            np.testing.assert_allclose(scores(each[1]), expected, atol=1e-5)
        with pytest.raises(CatalogError, match="only a photo"):
            catalog.search(photo_id=0, query_views=2)
    for words in (("--gallery", root), ("--catalog", shop)):
        told = run(
            "search", query.path, "--box", "8,6,40,36", "--model", model, "--query-views", "3",
            "--json", "-", *words,
        )  # fmt: skip
        found = {hit["photo_id"]: hit["score"] for hit in told.json["hits"]}
        np.testing.assert_allclose(
            [found[photo_id] for photo_id in gallery.ids.tolist()], expected, atol=1e-5
        )
    wrong = run("search", "--photo-id", "0", "--catalog", shop, "--query-views", "2")
    assert wrong.code == 2
    assert "it does not go with --photo-id" in wrong.err


def test_what_does_not_go_together_is_told(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    root, model = make_dataset(queries=QUERIES), make_model()
    words = ("--model", model, "--query-views", "2")
    embedded = run("embed", root, "-o", tmp_path / "v.parquet", *words)
    assert embedded.code == 2
    assert "--query-views needs --queries" in embedded.err
    run("rank", root, "-o", tmp_path / "r.npy", "--model", model, "--save-vectors", tmp_path / "v")
    given = ("--query-vectors", tmp_path / "v" / "queries.parquet")
    ranked = run("rank", root, "-o", tmp_path / "again.npy", *words, *given)
    assert ranked.code == 1
    assert "leave one of the two out" in ranked.err
    scored = run("evaluate", root, "--ranks", tmp_path / "r.npy", *words)
    assert scored.code == 2
    assert "cannot go with --query-views" in scored.err


def test_a_calibration_is_for_as_many_views(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    root, model, file = make_dataset(queries=QUERIES), make_model(), tmp_path / "c.json"
    words = ("calibrate", root, "--model", model, "-o", file, "--query-views", "2")
    assert run(*words, "--json", "-").json["query_views"] == 2
    calibration = Calibration.load(file)
    calibration.require_fit(None, None, query_views=2)
    assert not calibration.fits(None)
    with pytest.raises(ModelError, match="from 2 views, and here it is 1"):
        calibration.require_fit(None, None)
    shoplens.index(root, tmp_path / "shop", encoder=load_encoder(model))
    searched = ("search", root / "queries" / "0.png", "--model", model, "--confidence", file)
    for where in (("--gallery", root), ("--catalog", tmp_path / "shop")):
        assert run(*searched, *where, "--query-views", "2").code == 0
        refused = run(*searched, *where)
        assert refused.code == 1
        assert "from 2 views" in refused.err
