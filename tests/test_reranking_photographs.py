"""Methods that read photos: what holds of both, on made prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from made_prints import cover, shot
from made_rankings import embeddings, only, ranked

import shoplens
from shoplens import Box, Embeddings, Photo, PhotoSet, ShoplensWarning
from shoplens.cli import main
from shoplens.errors import RankingError
from shoplens.reranking import METHODS, Chain, Ranked, Reranker

WITH_OPENCV = find_spec("cv2") is not None
READING = [
    method for method in METHODS if method.reads_photos and (WITH_OPENCV or method.name != "verify")
]
N = 6


def names(method: type[Reranker]) -> str:
    return method.name


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Ranked:
    """Six prints and photos of three, whose vectors all say little: the scores are by chance."""
    folder = tmp_path_factory.mktemp("prints")
    rng = np.random.default_rng(0)
    gallery, queries = made_embeddings(rng, N, "seller"), made_embeddings(rng, 3, "user")
    sold, asked = [], []
    for number in range(N):
        cover(number).save(folder / f"{number}.png")
        sold.append(at(gallery, number, folder / f"{number}.png"))
    for number in range(3):
        taken = shot(cover(number), 100 + number)
        taken.image.save(folder / f"q{number}.png")
        photo = at(queries, number, folder / f"q{number}.png")
        asked.append(replace(photo, box=Box(*taken.box), id=number))
    return ranked(replace(queries, photos=PhotoSet(asked)), replace(gallery, photos=PhotoSet(sold)))


def made_embeddings(rng: np.random.Generator, n: int, domain: str) -> Embeddings:
    vectors = np.ones((n, 16)) + 0.1 * rng.standard_normal((n, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return embeddings(vectors.astype(np.float32), domain=domain)  # type: ignore[arg-type]


def at(side: Embeddings, row: int, path: Path) -> Photo:
    assert side.photos is not None
    return replace(side.photos[row], path=path, name=path.name)


def without(made: Ranked, rows: list[int]) -> Ranked:
    """Return the same where some gallery photos are not on disk any more."""
    photos = made.gallery.photos
    assert photos is not None
    lost = [
        replace(photo, path=Path("gone.png")) if row in rows else photo
        for row, photo in enumerate(photos)
    ]
    return replace(made, gallery=replace(made.gallery, photos=PhotoSet(lost)))


@pytest.mark.parametrize("method", READING, ids=names)
def test_the_printed_product_comes_first(method: type[Reranker], shop: Ranked) -> None:
    assert (shop.ranking.ids[:, 0] != np.arange(3)).any()
    kind = method(weight=4) if method.name == "patches" else method()  # type: ignore[call-arg]
    after = kind.rerank(shop)
    assert after.ranking.ids[:, 0].tolist() == [0, 1, 2]
    assert (np.diff(after.scores, axis=1) <= 0).all()
    assert (np.sort(after.ranking.ids, axis=1) == np.arange(N)).all()


@pytest.mark.parametrize("method", READING, ids=names)
def test_a_query_alone_gets_the_answer_of_the_batch(method: type[Reranker], shop: Ranked) -> None:
    assert not method.batch_side
    together = method().rerank(shop)
    for row in range(3):
        alone = method().rerank(only(shop, [row]))
        np.testing.assert_array_equal(alone.ranking.ids[0], together.ranking.ids[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])


@pytest.mark.parametrize("method", READING, ids=names)
def test_only_the_first_candidates_are_read(method: type[Reranker], shop: Ranked) -> None:
    few = method(n=2)  # type: ignore[call-arg]
    after = few.rerank(shop)
    np.testing.assert_array_equal(after.ranking.ids[:, 2:], shop.ranking.ids[:, 2:])
    assert few.cost(shop).photos == 3 + len(np.unique(shop.ranking.ids[:, :2]))
    assert method().cost(shop).photos == 3 + N


@pytest.mark.parametrize("method", READING, ids=names)
def test_a_photo_that_is_lost_is_told_and_neither_gains_nor_loses(
    method: type[Reranker], shop: Ranked
) -> None:
    with pytest.warns(ShoplensWarning, match=r"1 of 6 gallery photos cannot be read.*gone\.png"):
        after = method().rerank(without(shop, [5]))
    assert (np.sort(after.ranking.ids, axis=1) == np.arange(N)).all()
    if method.name == "verify":
        before, now = (one.scores[one.ranking.ids == 5] for one in (shop, after))
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("method", READING, ids=names)
def test_without_photos_there_is_a_clear_error(method: type[Reranker], shop: Ranked) -> None:
    with pytest.raises(RankingError, match="none of the gallery photos can be read"):
        method().rerank(without(shop, list(range(N))))
    bare = replace(shop, queries=replace(shop.queries, photos=None))
    with pytest.raises(RankingError, match="of the queries only vectors are known"):
        method().rerank(bare)


@pytest.mark.parametrize("method", READING, ids=names)
def test_photos_without_a_vector_stay_last(method: type[Reranker], shop: Ranked) -> None:
    gallery = embeddings(shop.gallery.vectors, failed=[1])
    queries = embeddings(shop.queries.vectors, failed=[2], domain="user")
    made = ranked(
        replace(queries, photos=shop.queries.photos), replace(gallery, photos=shop.gallery.photos)
    )
    after = method().rerank(made)
    assert after.ranking.ids[:2, -1].tolist() == [1, 1]
    assert after.ranking.ids[2].tolist() == list(range(N))
    assert np.isneginf(after.scores[2]).all()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prints, and beside it a photo of the third."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    for number in range(N):
        cover(number).save(folder / "photos" / f"{number}.png")
    shot(cover(3), 77).image.save(folder / "query.png")
    return folder


@pytest.mark.parametrize("method", READING, ids=names)
def test_a_catalogue_is_searched_with_it(method: type[Reranker], photos: Path) -> None:
    where = photos / method.name
    box = Box(*shot(cover(3), 77).box)
    chain = Chain((method(),))
    with shoplens.open_catalog(where, create=True) as catalog:
        shoplens.index(photos / "photos", catalog)
        found = catalog.search(photos / "query.png", box=box, rerank=chain)
        plain = catalog.search(photos / "query.png", box=box)
        before = {hit.path: hit.score for hit in plain}
        assert found.chain == tuple(map(str, chain.steps))
        with pytest.raises(RankingError, match="of the queries only vectors are known"):
            catalog.search(photo_id="3.png", rerank=chain)
    in_folder = shoplens.search(photos / "query.png", photos / "photos", box=box, rerank=chain)
    assert [hit.path for hit in in_folder] == [hit.path for hit in found]
    scores = [[hit.score for hit in result] for result in (in_folder, found)]
    np.testing.assert_allclose(*scores, atol=1e-5)
    if method.name == "verify":
        assert found[0].path == "3.png"
        assert found[0].score > before["3.png"] + 0.1
        for hit in found[1:]:
            assert hit.score == pytest.approx(before[hit.path], abs=1e-5)


@pytest.mark.parametrize("method", READING, ids=names)
def test_the_command_says_how_many_photos_are_read(
    method: type[Reranker],
    make_dataset: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_dataset([(0, "a"), (1, "b"), (2, "c")], [(0, "a", "0,0,64,48")])
    words = ["rank", str(data), "-o", str(tmp_path / "r.npz"), "--rerank", f"{method.name}:n=2"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert f"re-ranking by {method(n=2)} (gallery-side): under a second" in told  # type: ignore[call-arg]
    assert "reads 3 photos" in told
