"""The choice of a re-ranking chain: `--rerank auto`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from made_rankings import Ranked, at, embeddings, only, shop

import shoplens
import shoplens.choosing.choice
import shoplens.choosing.pairs
from shoplens.catalog.gallery import gallery_of
from shoplens.choosing import chains, choose, pairs_of
from shoplens.choosing.choice import best_chain
from shoplens.cli import main
from shoplens.errors import CatalogError, DataError
from shoplens.reranking import NO_STEPS, Cost, parse_chain
from shoplens.reranking.expansion import AlphaExpansion
from shoplens.vectors.regions import RegionVectors
from shoplens.vectors.selecting import rows_of


@pytest.fixture(scope="module")
def made() -> Ranked:
    """Products whose photos lie so far apart that neighbours help."""
    return shop(60, views=6, n_queries=200, noise=0.8)


def test_the_best_chain_is_chosen_and_its_gain_is_that_of_other_products(made: Ranked) -> None:
    tried = [parse_chain("aqe:k=1"), parse_chain("product-dba"), parse_chain("dba:k=50,alpha=0")]
    choice = choose(made.queries, made.gallery, tried)
    assert str(choice.chain).startswith("product-dba")
    assert choice.gain.value > 0
    assert choice.gain.low <= choice.gain.value <= choice.gain.high
    scores = [trial.score for trial in choice.trials]
    assert scores == sorted(scores, reverse=True)
    assert len(choice.trials) == 4  # Plain ranking is one of them.
    # What is gained on the products it was chosen by is never less than on others, but for chance.
    plain = next(trial.score for trial in choice.trials if trial.chain == NO_STEPS)
    assert choice.trials[0].score - plain == pytest.approx(choice.gain.value, abs=0.05)


def test_a_sure_small_gain_is_preferred_to_a_larger_one_by_chance() -> None:
    plain, groups = np.zeros(8), np.repeat(np.arange(4), 2)
    sure, lucky = np.full(8, 0.1), np.array([0.9, 0.9, 0, 0, 0, 0, 0, 0])
    assert best_chain(np.stack([plain, sure, lucky], axis=1), groups) == 1
    assert best_chain(np.stack([plain, lucky], axis=1), groups) == 1
    assert best_chain(np.stack([plain, -sure, lucky - 0.2], axis=1), groups) == 0


def test_no_chain_is_chosen_if_none_gains(made: Ranked) -> None:
    harmful = [parse_chain("dba:k=200,alpha=0"), parse_chain("alpha-qe:k=200,alpha=0,gap=2")]
    choice = choose(made.queries, made.gallery, harmful)
    assert choice.chain == NO_STEPS
    assert choice.gain.value <= 0


def test_the_choice_is_the_same_each_time(made: Ranked) -> None:
    tried = [parse_chain("aqe:k=1"), parse_chain("aqe:k=2"), parse_chain("alpha-qe")]
    first, second = (choose(made.queries, made.gallery, tried) for _ in range(2))
    assert first.chain == second.chain
    assert first.gain == second.gain


def test_noise_is_not_taken_for_a_gain() -> None:
    """Chains that shuffle at random: the best of many looks good where it was chosen only."""

    class Shuffle(AlphaExpansion):
        def rerank(self, ranked: Ranked, **_: object) -> Ranked:
            rng = np.random.default_rng(self.k)
            noise = 0.05 * rng.standard_normal(ranked.scores.shape).astype(np.float32)
            return ranked.reordered(ranked.scores + noise)

    made = shop(60, views=6, n_queries=200, noise=0.8)
    tried = [shoplens.reranking.Chain((Shuffle(k=k),)) for k in range(1, 40)]
    choice = choose(made.queries, made.gallery, tried)
    best = choice.trials[0].score
    plain = next(trial.score for trial in choice.trials if trial.chain == NO_STEPS)
    assert choice.gain.value <= best - plain


def test_chains_that_take_too_long_are_left_out(made: Ranked) -> None:
    class Slow(AlphaExpansion):
        def cost(self, ranked: Ranked) -> Cost:
            return Cost(seconds=100, megabytes=1)

    tried = [shoplens.reranking.Chain((Slow(),)), parse_chain("aqe:k=1")]
    choice = choose(made.queries, made.gallery, tried, seconds=50)
    assert choice.n_left_out == 1
    assert len(choice.trials) == 2
    assert choice.to_json()["n_left_out"] == 1


def test_many_queries_are_drawn_by_product(made: Ranked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shoplens.choosing.choice, "MOST_QUERIES", 50)
    choice = choose(made.queries, made.gallery, [parse_chain("aqe:k=1")])
    assert 0 < choice.n_queries <= 50


def test_products_must_be_known(made: Ranked) -> None:
    bare = replace(made.gallery, photos=None)
    with pytest.raises(DataError, match="products of gallery photos must be known"):
        choose(made.queries, bare, [])
    with pytest.raises(DataError, match="two products or more"):
        choose(only(made, [0]).queries, made.gallery, [])


def test_what_is_tried_is_labelled() -> None:
    for batch_side in (False, True):
        for with_products in (False, True):
            listed = list(chains(with_products=with_products, batch_side=batch_side))
            assert len({str(chain) for chain in listed}) == len(listed)
            assert any(chain.batch_side for chain in listed) is batch_side
            named = {step.name for chain in listed for step in chain.steps}
            assert ("product-dba" in named) is with_products


def test_pairs_of_products_leave_the_gallery(made: Ranked) -> None:
    queries, gallery = pairs_of(made.gallery)
    assert len(queries) == 60
    assert len(gallery) == 300
    assert not set(queries.ids.tolist()) & set(gallery.ids.tolist())
    assert queries.photos is not None
    assert len({photo.product_id for photo in queries.photos}) == 60
    again, _ = pairs_of(made.gallery)
    np.testing.assert_array_equal(again.ids, queries.ids)


def test_regions_stay_with_their_photos() -> None:
    """Photo 0 has no region, photo 1 has one, photo 2 has two."""
    gallery = embeddings(at(0, 10, 20))
    regions = RegionVectors(
        2,
        np.array([0, 0, 1, 3], dtype=np.int64),
        np.arange(12, dtype=np.int32).reshape(3, 4),
        at(11, 21, 22),
    )
    found = rows_of(replace(gallery, regions=regions), np.array([2, 0, 1])).regions
    assert found is not None
    assert found.starts.tolist() == [0, 2, 2, 3]
    np.testing.assert_array_equal(found.vectors, at(21, 22, 11))
    assert found.boxes[:, 0].tolist() == [4, 8, 0]


def test_without_products_and_model_there_is_nothing_to_choose_on(made: Ranked) -> None:
    assert made.gallery.photos is not None
    single = shop(30, views=1).gallery
    with pytest.raises(DataError, match="two photos or more"):
        pairs_of(single)
    with pytest.raises(DataError, match="only their vectors are known"):
        pairs_of(replace(single, photos=None))


@pytest.fixture
def dataset(make_dataset: Callable[..., Path]) -> Path:
    gallery = [(number, "abcdef"[number % 6]) for number in range(18)]
    queries = [(number, "abcdef"[number], "4,4,50,40") for number in range(6)]
    return make_dataset(gallery, queries)


def test_photos_leave_where_enough_products_keep_several(
    dataset: Path, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = shoplens.load_encoder(make_model())
    gallery = shoplens.embed(shoplens.read_gallery(dataset), encoder)
    monkeypatch.setattr(shoplens.choosing.pairs, "LEAST_LASTING", 6)
    queries, searched = pairs_of(gallery, encoder)
    assert (len(queries), len(searched)) == (6, 12)
    assert not set(queries.ids.tolist()) & set(searched.ids.tolist())
    monkeypatch.setattr(shoplens.choosing.pairs, "LEAST_LASTING", 7)
    assert len(pairs_of(gallery, encoder)[1]) == 18


def test_pairs_of_photos_are_parts_of_them(dataset: Path, make_model: Callable[..., Path]) -> None:
    encoder = shoplens.load_encoder(make_model())
    photos = shoplens.read_gallery(dataset)
    unknown = shoplens.PhotoSet(replace(photo, product_id=None) for photo in photos)
    some = shoplens.PhotoSet(
        photo if photo.id < 12 else replace(photo, product_id=None) for photo in photos
    )
    for shown, n_photos, n_products in ((photos, 18, 6), (some, 12, 6), (unknown, 18, 18)):
        gallery = shoplens.embed(shown, encoder)
        queries, searched = pairs_of(gallery, encoder)
        assert len(queries) == len(searched) == n_photos
        assert queries.photos is not None
        assert searched.photos is not None
        products = dict(zip(searched.ids.tolist(), searched.photos.product_ids, strict=True))
        assert [products[photo.id] for photo in queries.photos] == queries.photos.product_ids
        assert len(set(queries.photos.product_ids)) == n_products
        for photo in queries.photos:
            assert photo.domain == "user"
            assert photo.box is not None
            assert photo.box.is_within((64, 48))
            assert 0.5 * 64 - 1 <= photo.box.width <= 0.9 * 64 + 1
        assert choose(queries, searched, [parse_chain("aqe:k=1")]).n_queries == n_photos


@pytest.mark.parametrize("labelled", [False, True])
def test_the_command_chooses_and_says_by_what(
    dataset: Path,
    make_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labelled: bool,
) -> None:
    told = tmp_path / "told.json"
    words = ["evaluate", str(dataset), "--model", str(make_model()), "--rerank", "auto"]
    words += ["--rerank-data", str(dataset)] if labelled else []
    assert main([*words, "--json", str(told)]) == 0
    record = json.loads(told.read_text())
    chain = parse_chain(record["rerank"]["chain"])
    assert record["chain"] == ["exact", *map(str, chain.steps)]
    assert record["batch_side"] is False
    assert record["rerank"]["n_tried"] > 1
    shown = capsys.readouterr().err
    assert f"--rerank {chain}: chosen on " in shown
    assert "on products kept out of the choice" in shown


@pytest.mark.parametrize("regions", [0, 2])
def test_a_chain_is_chosen_for_a_catalogue_as_for_its_gallery(
    dataset: Path, tmp_path: Path, run: Run, regions: int
) -> None:
    shoplens.index(dataset, tmp_path / "shop", regions=regions)
    words = ("search", dataset / "queries" / "0.png", "--rerank", "auto", "--json", "-")
    more = ("--regions", regions) if regions else ()
    by_gallery = run(*words, "--gallery", dataset, *more)
    by_catalog = run(*words, "--catalog", tmp_path / "shop")
    chain = by_catalog.json["rerank"]["chain"]
    assert f"--rerank {chain}: chosen on 18 queries made of gallery photos" in by_catalog.err
    for name in ("chain", "gain", "n_queries", "n_products"):
        assert by_catalog.json["rerank"][name] == by_gallery.json["rerank"][name]
    assert by_catalog.json.get("chain") == by_gallery.json.get("chain")
    ids = [[hit["photo_id"] for hit in one.json["hits"]] for one in (by_catalog, by_gallery)]
    assert ids[0] == ids[1]


def test_a_chain_is_chosen_for_a_catalogue_on_a_test_set(
    dataset: Path, make_model: Callable[..., Path], tmp_path: Path, run: Run
) -> None:
    model = make_model()
    shoplens.index(dataset, tmp_path / "shop", encoder=shoplens.load_encoder(model))
    words = ("search", "--catalog", tmp_path / "shop", "--model", model, "--photo-id", "3")
    found = run(*words, "--rerank", "auto", "--rerank-data", dataset, "--json", "-")
    assert found.json["rerank"]["n_queries"] == 6
    assert "chosen on the 6 queries of dataset" in found.err
    assert 3 not in [hit["photo_id"] for hit in found.json["hits"]]


def test_a_large_catalogue_is_not_chosen_on(
    dataset: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.cli.catalog_reranking.MOST_PHOTOS", 17)
    shoplens.index(dataset, tmp_path / "shop")
    found = run("search", "--catalog", tmp_path / "shop", "--photo-id", "3", "--rerank", "auto")
    assert found.code == 2
    assert "has 18: 17 are the most" in found.err


def test_an_empty_catalogue_is_not_chosen_on(tmp_path: Path) -> None:
    with (
        shoplens.open_catalog(tmp_path / "empty", create=True) as catalog,
        pytest.raises(CatalogError, match="is empty"),
    ):
        gallery_of(catalog)


def test_options_of_the_choice_need_auto(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(dataset), "--rerank", "aqe", "--batch-side"]) == 2
    assert "need --rerank auto" in capsys.readouterr().err
