from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, picture
from PIL import Image

import shoplens
from shoplens import Box, Embeddings, Photo, PhotoSet, VectorCache, embed, embed_photo
from shoplens.catalog.opening import open_catalog
from shoplens.errors import CatalogError, RankingError, ShoplensError
from shoplens.models import Encoder, load_encoder
from shoplens.regions import with_regions


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of seller photos, each with a small thing at its left."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in range(5):
        scene = Image.new("RGB", (200, 120), "white")
        scene.paste(picture(number), (10, 30))
        scene.save(folder / f"{number}.png")
    return folder


def photos_of(shop: Path) -> PhotoSet:
    return shoplens.read_gallery(shop)


def test_regions_are_embedded_as_photos_are(shop: Path, toy: Encoder) -> None:
    photos = photos_of(shop)
    gallery = embed(photos, toy)
    found = with_regions(gallery, 2, toy)
    assert np.array_equal(found.vectors, gallery.vectors)
    regions = found.regions
    assert regions is not None
    assert regions.limit == 2
    assert regions.starts.tolist() == [0, 2, 4, 6, 8, 10]
    for row, photo in enumerate(photos):
        for number in range(*regions.starts[row : row + 2]):
            box = Box(*regions.boxes[number].tolist())
            vector = embed_photo(photo.path, toy, box=box, domain="seller")
            assert np.array_equal(regions.vectors[number], vector)


def test_a_second_run_computes_nothing(
    shop: Path, toy: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VectorCache(toy.fingerprint, tmp_path / "vectors") as cache:
        gallery = embed(photos_of(shop), toy, cache=cache)
        first = with_regions(gallery, 3, toy, cache=cache)
    monkeypatch.setattr("shoplens.regions.choosing.load_network", lambda: 1 / 0)
    monkeypatch.setattr(type(toy), "embed", lambda *_: 1 / 0)
    with VectorCache(toy.fingerprint, tmp_path / "vectors") as cache:
        again = with_regions(gallery, 3, toy, cache=cache)
        fewer = with_regions(gallery, 1, toy, cache=cache)
    assert first.regions is not None
    assert again.regions is not None
    assert fewer.regions is not None
    assert np.array_equal(first.regions.vectors, again.regions.vectors)
    assert np.array_equal(first.regions.boxes, again.regions.boxes)
    assert np.array_equal(fewer.regions.boxes, first.regions.boxes[::3])


def test_photos_that_failed_and_photos_with_a_box_have_none(shop: Path, toy: Encoder) -> None:
    (shop / "1.png").write_bytes(b"no photo")
    listed = list(photos_of(shop))
    photos = PhotoSet([replace(listed[0], box=Box(10, 30, 74, 78)), *listed[1:]])
    found = with_regions(embed(photos, toy), 2, toy)
    assert found.regions is not None
    assert np.diff(found.regions.starts).tolist() == [0, 0, 2, 2, 2]


def test_all_photos_may_be_without(shop: Path, toy: Encoder) -> None:
    photos = PhotoSet(replace(photo, box=Box(10, 30, 74, 78)) for photo in photos_of(shop))
    found = with_regions(embed(photos, toy), 2, toy)
    assert found.regions is not None
    assert len(found.regions) == 0
    assert found.regions.vectors.shape == (0, toy.dimension)


def test_none_can_be_asked_for(shop: Path, toy: Encoder) -> None:
    gallery = embed(photos_of(shop), toy)
    assert with_regions(gallery, 0, toy) is gallery
    two = with_regions(gallery, 2, toy)
    assert with_regions(two, 2, toy) is two
    assert with_regions(two, 0, toy).regions is None


def test_what_cannot_be_done_is_told(shop: Path, toy: Encoder) -> None:
    gallery = embed(photos_of(shop), toy)
    with pytest.raises(ShoplensError, match="0 to 8 regions, not 9"):
        with_regions(gallery, 9, toy)
    bare = Embeddings(gallery.ids, gallery.vectors)
    with pytest.raises(RankingError, match="only the vectors"):
        with_regions(bare, 1, toy)


def test_a_search_says_which_region_matched(shop: Path, encoder: Encoder) -> None:
    asked = picture(3)
    plain = {hit.path: hit for hit in shoplens.search(asked, shop, encoder=encoder)}
    found = shoplens.search(asked, shop, regions=2, encoder=encoder)
    gallery = found.gallery
    assert gallery is not None
    assert gallery.regions is not None
    query = embed_photo(asked, encoder)
    for hit in found:
        assert isinstance(hit.photo_id, int)
        first, end = gallery.regions.starts[hit.photo_id : hit.photo_id + 2]
        scores = gallery.regions.vectors[first:end] @ query
        whole = plain[hit.path].score
        assert hit.score == pytest.approx(0.3 * whole + 0.7 * max(whole, scores.max()), abs=1e-5)
        if hit.region is None:
            assert "region" not in hit.to_json()
            assert whole == pytest.approx(max(whole, scores.max()), abs=1e-5)
        else:
            assert hit.to_json()["region"] == str(hit.region)
            best = gallery.regions.boxes[first + scores.argmax()]
            assert hit.region == Box(*best.tolist())
    assert any(hit.region is not None for hit in found)
    assert all(hit.region is None for hit in plain.values())
    again = shoplens.search(asked, gallery, encoder=encoder)
    assert [hit.region for hit in again] == [hit.region for hit in found]
    without = shoplens.search(asked, gallery, regions=0, encoder=encoder)
    assert [hit.score for hit in without] == [plain[hit.path].score for hit in without]


def test_each_of_several_photos_is_searched_with_regions(shop: Path, toy: Encoder) -> None:
    queries = PhotoSet(
        Photo(n, photo.name, photo.path, "user", Box(10, 30, 74, 78))
        for n, photo in enumerate(photos_of(shop))
    )
    results = shoplens.search_each(queries, shop, regions=2, encoder=toy)
    for query, result in zip(queries, results, strict=True):
        alone = shoplens.search(query.path, shop, box=query.box, regions=2, encoder=toy)
        assert [hit.region for hit in result] == [hit.region for hit in alone]
        assert [hit.score for hit in result] == [hit.score for hit in alone]


def test_a_catalogue_has_its_own(tmp_path: Path) -> None:
    with (
        open_catalog(tmp_path / "catalog", create=True) as catalog,
        pytest.raises(CatalogError, match="indexed with"),
    ):
        shoplens.search(picture(0), catalog, regions=2)


def test_the_commands_take_regions(
    make_dataset: Callable[..., Path], make_model: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    root, model = make_dataset(), make_model()
    ranks = tmp_path / "ranks.npz"
    made = run("rank", root, "-o", ranks, "--regions", 2, "--model", model, "--json", "-")
    assert made.code == 0
    assert made.json["chain"] == ["exact", "regions(2)"]
    scored = run("evaluate", root, "--regions", 2, "--model", model, "--json", "-")
    assert scored.json["chain"] == ["exact", "regions(2)"]
    again = run("evaluate", root, "--ranks", ranks, "--json", "-")
    assert again.json["metrics"] == scored.json["metrics"]
    assert run("report", ranks, "--data", root, "-o", tmp_path / "page.html").code == 0
    assert run("evaluate", root, "--ranks", ranks, "--regions", 2).code == 2
    assert run("rank", root, "-o", ranks, "--regions", 9).code == 2


def test_vectors_from_files_get_regions_of_their_photos(
    make_dataset: Callable[..., Path], make_model: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    root, model = make_dataset(), make_model()
    common = ("--model", model, "--json", "-")
    saved = tmp_path / "vectors"
    expected = run("rank", root, "-o", tmp_path / "a.npz", "--regions", 2, *common)
    run("rank", root, "-o", tmp_path / "b.npz", "--save-vectors", saved, *common)
    files = (
        "--gallery-vectors",
        saved / "gallery.parquet",
        "--query-vectors",
        saved / "queries.parquet",
    )
    found = run("rank", root, "-o", tmp_path / "c.npz", "--regions", 2, *files, *common)
    assert found.json["chain"] == expected.json["chain"]
    first, second = np.load(tmp_path / "a.npz"), np.load(tmp_path / "c.npz")
    for name in ("ids", "scores", "region_numbers"):
        assert np.array_equal(first[name], second[name])
    other = make_model("other", std=[32.0, 32.0, 32.0])
    refused = run("rank", root, "-o", tmp_path / "d.npz", "--regions", 2, *files, "--model", other)
    assert refused.code == 1
    assert "toy" in refused.err


def test_a_page_of_hits_frames_the_region(shop: Path, run: Run, tmp_path: Path) -> None:
    picture(3).save(tmp_path / "asked.png")
    page = tmp_path / "hits.html"
    found = run(
        "search",
        tmp_path / "asked.png",
        "--gallery",
        shop,
        "--regions",
        2,
        "--html",
        page,
        "--json",
        "-",
    )
    assert found.code == 0
    assert any("region" in hit for hit in found.json["hits"])
    assert 'class="region"' in page.read_text()
    assert run("search", tmp_path / "asked.png", "--catalog", shop, "--regions", 2).code == 2
