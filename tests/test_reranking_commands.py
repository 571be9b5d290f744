"""`--rerank` on the command line, in searches and in catalogues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import shoplens
from shoplens.catalog import Entry, ModelStamp
from shoplens.cli import main
from shoplens.errors import RankingError
from shoplens.reranking.expansion import AlphaExpansion

CHAIN = "dba:k=1+alpha-qe:k=2"


@pytest.fixture
def dataset(make_dataset: Callable[..., Path]) -> Path:
    gallery = [(number, "abcdef"[number % 6]) for number in range(18)]
    return make_dataset(gallery, [(0, "a", "0,0,64,48"), (1, "b", "4,4,50,40")])


def test_rank_and_evaluate_rerank_and_say_so(
    dataset: Path,
    make_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(make_model())
    ranks, told = tmp_path / "ranks.npz", tmp_path / "told.json"
    words = [str(dataset), "--model", model, "--rerank", CHAIN, "--json", str(told)]
    assert main(["rank", *words, "-o", str(ranks)]) == 0
    shown = capsys.readouterr().err
    assert "re-ranking by dba:k=1,alpha=6 (gallery-side): under a second" in shown
    assert "re-ranking by alpha-qe:k=2,alpha=3,gap=0.1 (gallery-side): under a second" in shown
    record = json.loads(told.read_text())
    assert record["chain"] == ["exact", "dba:k=1,alpha=6", "alpha-qe:k=2,alpha=3,gap=0.1"]
    assert record["batch_side"] is False
    assert record["seconds"]["rerank"] >= 0
    loaded = shoplens.Ranking.load(ranks, np.array([0, 1], dtype=np.int32))
    assert list(loaded.chain) == record["chain"]

    assert main(["evaluate", *words]) == 0
    assert json.loads(told.read_text())["chain"] == record["chain"]
    assert "18 gallery photos, gallery-side\n" in capsys.readouterr().err
    assert main(["rank", str(dataset), "--model", model, "--rerank", "csls", "-o", str(ranks)]) == 0
    assert main(["evaluate", str(dataset), "--ranks", str(ranks)]) == 0
    assert "18 gallery photos, batch-side (uses other queries)\n" in capsys.readouterr().err


def test_the_default_changes_nothing(
    dataset: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = str(make_model())
    for name, words in (("a", []), ("b", ["--rerank", "none"])):
        output = str(tmp_path / f"{name}.npz")
        assert main(["rank", str(dataset), "--model", model, *words, "-o", output]) == 0
    a, b = (
        shoplens.Ranking.load(tmp_path / f"{name}.npz", np.array([0, 1], np.int32)) for name in "ab"
    )
    assert a.chain == b.chain == ("exact",)
    np.testing.assert_array_equal(a.ids, b.ids)


def test_a_fault_in_the_chain_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["rank", str(tmp_path / "none"), "-o", str(tmp_path / "r.npy"), "--rerank", "aqe:k"]
    )
    assert code == 2
    assert "k needs a value: k=2\n  aqe:k\n       ^" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--rerank", "csls"], "csls is batch-side"),
        (["--rerank", "aqe", "--rerank-seconds", "5"], "need --rerank auto"),
    ],
)
def test_what_a_search_cannot_do_is_a_fault_of_use(
    words: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "a.jpg", "--gallery", str(tmp_path), *words]) == 2
    assert problem in capsys.readouterr().err


def test_an_answer_is_not_reranked(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(dataset), "--ranks", "r.npy", "--rerank", "aqe"]) == 2
    assert "scored as it is" in capsys.readouterr().err


def test_own_vectors_are_reranked(dataset: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, n in (("gallery", 18), ("queries", 2)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((n, 8)).astype(np.float32))
    given = [
        "--gallery-vectors", str(tmp_path / "gallery.npy"),
        "--query-vectors", str(tmp_path / "queries.npy"),
    ]  # fmt: skip
    output = tmp_path / "r.npz"
    assert main(["rank", str(dataset), *given, "--rerank", "aqe:k=3", "-o", str(output)]) == 0
    data = shoplens.read_dataset(dataset)
    gallery = shoplens.Embeddings.load(tmp_path / "gallery.npy", data.gallery)
    queries = shoplens.Embeddings.load(tmp_path / "queries.npy", data.queries)
    expected = shoplens.rerank(shoplens.rank(queries, gallery), queries, gallery, "aqe:k=3")
    found = shoplens.Ranking.load(output, data.queries.ids)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_a_search_is_reranked(
    dataset: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_model()
    encoder = shoplens.load_encoder(model)
    photo = dataset / "queries" / "0.png"
    found = shoplens.search(photo, dataset, encoder=encoder, k=4, rerank=CHAIN)
    assert found.chain == ("dba:k=1,alpha=6", "alpha-qe:k=2,alpha=3,gap=0.1")
    assert len(found) == 4

    gallery = shoplens.embed(shoplens.read_gallery(dataset), encoder)
    query = shoplens.embed_photo(photo, encoder)
    expected = shoplens.rerank(shoplens.rank(query, gallery), query, gallery, CHAIN)
    assert [hit.photo_id for hit in found] == expected.ids[0, :4].tolist()

    told = tmp_path / "told.json"
    words = ["search", str(photo), "--gallery", str(dataset), "--model", str(model), "-k", "4"]
    assert main([*words, "--rerank", CHAIN, "--json", str(told)]) == 0
    record = json.loads(told.read_text())
    assert record["chain"] == list(found.chain)
    assert [hit["photo_id"] for hit in record["hits"]] == [hit.photo_id for hit in found]


def test_a_search_says_before_what_it_costs(
    dataset: Path,
    make_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, catalog = str(make_model()), str(tmp_path / "shop")
    photo, table = str(dataset / "queries" / "0.png"), str(dataset / "queries.csv")
    assert main(["index", str(dataset), "--catalog", catalog, "--model", model]) == 0
    gallery = ["--gallery", str(dataset), "--model", model]
    for asked in ([photo], ["--queries", table]):
        for searched in (gallery, ["--catalog", catalog, "--model", model]):
            capsys.readouterr()
            assert main(["search", *asked, *searched, "--rerank", "dba:k=1+patches:n=5"]) == 0
            shown = capsys.readouterr().err
            assert "re-ranking by dba:k=1,alpha=6 (gallery-side): under a second, 64 MB" in shown
            n_photos = 12 if asked[0] == "--queries" else 6
            assert "re-ranking by patches:n=5,weight=1 (gallery-side): " in shown
            assert f"reads {n_photos} photos" in shown
    assert main(["search", photo, *gallery]) == 0
    assert "re-ranking by" not in capsys.readouterr().err


@pytest.fixture
def catalog(tmp_path: Path) -> shoplens.Catalog:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    opened = shoplens.open_catalog(str(tmp_path / "shop"), create=True)
    opened.set_model(ModelStamp("toy", "f00d", 8))
    opened.upsert(
        Entry(f"photo-{row}", vector, product_id=f"p{row // 2}")
        for row, vector in enumerate(vectors)
    )
    return opened


def test_a_catalogue_reranks_its_candidates(catalog: shoplens.Catalog) -> None:
    with catalog:
        vector = catalog.get("photo-7").vector  # type: ignore[union-attr]
        found = catalog.search(vector=vector, k=5, rerank="product-dba:weight=1,alpha=0 + aqe:k=1")
        entries = list(catalog.entries())
        assert [step.partition(":")[0] for step in found.chain] == ["product-dba", "aqe"]
        assert len(found) == 5
        assert {hit.product_id for hit in found[:2]} == {"p3"}
        plain = catalog.search(vector=vector, k=5)
        assert plain.chain == ()
        again = catalog.search_vectors(np.stack([e.vector for e in entries]), k=5, rerank="aqe")
        for entry, result in zip(entries, again, strict=True):
            alone = catalog.search(vector=entry.vector, k=5, rerank="aqe")
            assert [hit.photo_id for hit in alone] == [hit.photo_id for hit in result]


def test_products_and_more_like_this_are_reranked(catalog: shoplens.Catalog) -> None:
    with catalog:
        similar = catalog.search(photo_id="photo-7", k=3, rerank="product-dba")
        assert "photo-7" not in [hit.photo_id for hit in similar]
        grouped = catalog.search(photo_id="photo-7", k=3, group_by="product", rerank="alpha-qe")
        assert len({hit.product_id for hit in grouped}) == 3


def test_products_beyond_the_candidates_follow_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three products with 20 photos each: the first 13 photos are of fewer."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((3, 8)), 20, axis=0)
    vectors = (centres + 0.1 * rng.standard_normal((60, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr("shoplens.catalog.finding.CANDIDATES", 5)
    with shoplens.open_catalog(str(tmp_path / "shop"), create=True) as catalog:
        catalog.set_model(ModelStamp("toy", "f00d", 8))
        catalog.upsert(
            Entry(row, vector, product_id=f"p{row // 20}") for row, vector in enumerate(vectors)
        )
        plain = catalog.search(vector=vectors[0], k=3, group_by="product")
        found = catalog.search(vector=vectors[0], k=3, group_by="product", rerank="dba:k=1")
        first = catalog.search(vector=vectors[0], k=13, rerank="dba:k=1")
    assert len(found) == 3
    assert found[0].photo_id == first[0].photo_id
    assert [hit.product_id for hit in found] == [hit.product_id for hit in plain]
    assert [hit.score for hit in found[1:]] == [
        min(hit.score, first[-1].score) for hit in plain[1:]
    ]


def test_photos_without_a_product_stand_for_themselves(catalog: shoplens.Catalog) -> None:
    """Where none of those that were found has one, steps that need products change nothing."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((9, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with catalog:
        catalog.upsert(
            Entry(f"new-{row}", vector, attributes={"new": True})
            for row, vector in enumerate(vectors)
        )
        terms = {"vector": vectors[0], "where": "new = true", "k": 9}
        for chain, expected in (
            ("product-score", "none"),
            ("product-dba", "none"),
            ("product-score+aqe", "aqe"),
        ):
            found = catalog.search(rerank=chain, **terms)  # type: ignore[arg-type]
            assert len(found.chain) == len(chain.split("+"))
            plain = catalog.search(rerank=expected, **terms)  # type: ignore[arg-type]
            assert [(hit.photo_id, hit.score) for hit in found] == [
                (hit.photo_id, hit.score) for hit in plain
            ]
        catalog.delete(where="new is null")
        with pytest.raises(RankingError, match="needs the products of gallery photos"):
            catalog.search(rerank="product-score", **terms)  # type: ignore[arg-type]


def test_a_search_refuses_what_needs_other_queries(catalog: shoplens.Catalog) -> None:
    class Batch(AlphaExpansion):
        batch_side = True

    with catalog, pytest.raises(RankingError, match="alpha-qe is batch-side"):
        catalog.search(photo_id="photo-7", rerank=shoplens.reranking.Chain((Batch(),)))
