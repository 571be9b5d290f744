"""Re-ranking over HTTP: the same answers as Python and the command line, at a bounded cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from made_shops import make_shop, png, serving
from starlette.testclient import TestClient

from shoplens import open_catalog
from shoplens.catalog.reranked import CANDIDATES, expected_seconds
from shoplens.client import CatalogStats, parsing
from shoplens.errors import RankingError, ShoplensError
from shoplens.reranking import METHODS, NO_STEPS, parse_chain
from shoplens.server.chains import asked_chain, server_chain
from shoplens.server.problems import Problem
from shoplens.server.result_schemas import BatchAnswer, SearchAnswer
from shoplens.server.settings import ServerSettings, read_settings

OWN = "product-score"
STEP = "product-score:weight=0.9,temperature=0.05"
CHAINS = [
    *(method.name for method in METHODS if not method.batch_side and not method.reads_photos),
    "dba:k=1+alpha-qe:k=2+product-score",
    "none",
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"), n_photos=12)


@pytest.fixture(scope="module")
def client(shop: Path) -> Iterator[TestClient]:
    with serving(shop, rerank=OWN) as client:
        yield client


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "query.png"
    file.write_bytes(png(4, (200, 150)))
    return file


def found(answer: dict[str, Any]) -> object:
    """Return what an answer has in common with `shoplens search --json`."""
    hits = [(hit["photo_id"], hit["score"], hit["rank"]) for hit in answer["hits"]]
    return hits, answer.get("chain"), answer["exact"], answer["n_gallery"]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("group_by", [None, "product"])
def test_http_python_and_the_command_line_give_the_same(
    chain: str, group_by: Any, client: TestClient, shop: Path, photo: Path, run: Run
) -> None:
    with open_catalog(shop, read_only=True) as catalog:
        by_python = catalog.search(
            photo, box="10,20,150,100", k=5, group_by=group_by, rerank=chain
        ).to_json()
    grouped = () if group_by is None else ("--group-by", group_by)
    by_command = run(
        "search", photo, "--catalog", shop, "--box", "10,20,150,100", "-k", "5", *grouped,
        "--rerank", chain, "--json", "-",
    ).json  # fmt: skip
    fields = {"box": "10,20,150,100", "k": "5", "group_by": group_by or "", "rerank": chain}
    answer = client.post("/v1/search", files={"photo": photo.read_bytes()}, data=fields)
    SearchAnswer.model_validate(answer.json())
    assert found(answer.json()) == found(by_python) == found(by_command)
    steps = tuple(map(str, parse_chain(chain).steps))
    assert parsing.search_response(answer.content).chain == steps
    assert ("chain" in answer.json()) is bool(steps)


def test_the_chain_of_the_server_is_used_unless_another_is_named(
    client: TestClient, shop: Path
) -> None:
    with open_catalog(shop, read_only=True) as catalog:
        own = catalog.search(photo_id=4, k=3, rerank=OWN).to_json()
        plain = catalog.search(photo_id=4, k=3).to_json()
    for fields, expected in (({}, own), ({"rerank": OWN}, own), ({"rerank": "none"}, plain)):
        answer = client.post("/v1/search", json={"photo_id": 4, "k": 3, **fields}).json()
        assert found(answer) == found(expected)
    assert own["chain"] == [STEP]


def test_the_chain_of_the_catalogue_is_used_unless_the_settings_name_one(
    tmp_path: Path, photo: Path, run: Run
) -> None:
    shop = make_shop(tmp_path, n_photos=12)
    with open_catalog(shop) as catalog:
        catalog.set_chain(OWN)
        own = catalog.search(photo, k=3).to_json()
        plain = catalog.search(photo, k=3, rerank="none").to_json()
        expanded = catalog.search(photo, k=3, rerank="aqe").to_json()
    assert own["chain"] == [STEP]
    by_command = run("search", photo, "--catalog", shop, "-k", "3", "--json", "-").json
    assert found(by_command) == found(own)
    data = photo.read_bytes()

    def asked(client: TestClient, **fields: Any) -> dict[str, Any]:
        answer = client.post("/v1/search", files={"photo": data}, data={"k": 3, **fields})
        assert answer.status_code == 200
        told = answer.json()
        assert isinstance(told, dict)
        return told

    with serving(shop, max_rerank_seconds=0) as client:
        assert found(asked(client)) == found(asked(client, rerank=OWN)) == found(own)
        assert found(asked(client, rerank="none")) == found(plain)
        answer = client.get("/v1/catalog")
        assert parsing.reads(CatalogStats)(answer.content).chain == (STEP,)
        # Another process has the catalogue keep another chain.
        with open_catalog(shop) as catalog:
            catalog.set_chain("aqe")
        assert found(asked(client)) == found(expanded)
        assert client.get("/v1/catalog").json()["chain"] == expanded["chain"]
        with open_catalog(shop) as catalog:
            catalog.set_chain("none")
        assert found(asked(client)) == found(plain)
    with open_catalog(shop) as catalog:
        catalog.set_chain("aqe")
    for setting, expected in ((OWN, own), ("none", plain)):
        with serving(shop, rerank=setting) as client:
            assert found(asked(client)) == found(expected)
            assert found(asked(client, rerank="aqe")) == found(expanded)
    checked = run("serve", "--catalog", shop, "--check")
    assert "re-ranked by: aqe:k=2,gap=0.05\n" in checked.out
    checked = run("serve", "--catalog", shop, "--rerank", "none", "--check")
    assert "re-ranked by: nothing\n" in checked.out


def test_a_batch_is_re_ranked(client: TestClient) -> None:
    queries = [{"photo_id": 4}, {"photo_id": 7}]
    answer = client.post("/v1/search/batch", json={"queries": queries, "k": 3, "rerank": "aqe"})
    results = BatchAnswer.model_validate_json(answer.content).results
    for query, result in zip(queries, results, strict=True):
        alone = client.post("/v1/search", json={**query, "k": 3, "rerank": "aqe"}).json()
        assert found(result.model_dump()) == found(alone)


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        ("csls", "csls is batch-side"),
        ("dba+k-reciprocal", "k-reciprocal is batch-side"),
        ("patches", "patches reads photos"),
        ("aqe+verify:n=10", "verify reads photos"),
        ("auto", "auto is for commands that choose a chain"),
        ("alpha-qu", "did you mean alpha-qe?"),
        ("dba:k=1000+dba:k=1000", "would take about"),
        ("k-reciprocal-online:k1=200", "would take about"),
    ],
)
def test_a_chain_that_a_server_cannot_use_is_refused(
    chain: str, told: str, client: TestClient
) -> None:
    answer = client.post("/v1/search", json={"photo_id": 4, "rerank": chain})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_rerank")
    assert told in answer.json()["detail"]


def test_a_fault_in_a_chain_says_where(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"photo_id": 4, "rerank": "dba + alpha-qe:k=0"}).json()
    assert (answer["detail"], answer["position"]) == ("k must be between 1 and 1000", 17)


def test_a_server_can_keep_searches_from_naming_chains(shop: Path) -> None:
    with serving(shop, rerank=OWN, max_rerank_seconds=0) as client:
        for chain, status in ((OWN, 200), ("none", 200), ("aqe", 400)):
            answer = client.post("/v1/search", json={"photo_id": 4, "rerank": chain})
            assert answer.status_code == status


def test_a_search_for_more_hits_may_take_no_longer() -> None:
    chain = parse_chain("dba")
    most = 2 * expected_seconds(chain, CANDIDATES, 512)
    assert asked_chain("dba", NO_STEPS, most, 20, 512) == chain
    with pytest.raises(Problem, match="would take about"):
        asked_chain("dba", NO_STEPS, most, 4 * CANDIDATES, 512)
    # What the server was started with is not refused.
    assert asked_chain("dba", chain, most, 4 * CANDIDATES, 512) == chain


def test_the_time_of_a_chain_grows_with_its_numbers() -> None:
    for less, more in (
        ("dba:k=2", "dba:k=500"),
        ("k-reciprocal-online", "k-reciprocal-online:k1=100"),
        ("k-reciprocal-online", "k-reciprocal-online:k2=200"),
        ("superglobal:m=100", "superglobal:m=1000"),
        ("aqe", "aqe+aqe"),
    ):
        assert expected_seconds(parse_chain(less), 1000, 512) < expected_seconds(
            parse_chain(more), 1000, 512
        )


def test_the_methods_of_a_server_are_those_that_its_guide_names() -> None:
    refused = [method for method in METHODS if method.batch_side or method.reads_photos]
    assert {method.name for method in refused} == {"k-reciprocal", "csls", "patches", "verify"}
    for method in METHODS:
        if method in refused:
            with pytest.raises(RankingError):
                server_chain(method.name)
        else:
            assert server_chain(method.name).steps == (method(),)


def test_settings_name_a_chain(run: Run, shop: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('catalog = "shop"\nrerank = "dba:k=1 + aqe"\n')
    assert read_settings(config).chain == parse_chain("dba:k=1+aqe")
    assert read_settings(config, {"rerank": "none"}).chain == NO_STEPS
    assert ServerSettings(catalog="shop").chain is None
    for wrong, told in (("csls", "csls is batch-side"), ("auto", "shoplens evaluate DATASET")):
        config.write_text(f'catalog = "shop"\nrerank = "{wrong}"\n')
        with pytest.raises(ShoplensError, match=f"rerank: .*{told}"):
            read_settings(config)
    checked = run("serve", "--catalog", shop, "--rerank", OWN, "--check")
    assert checked.code == 0
    assert f"rerank = {OWN}" in checked.out
    refused = run("serve", "--catalog", shop, "--rerank", "aqe:k", "--check")
    assert refused.code == 1
    assert "rerank: k needs a value" in refused.err
