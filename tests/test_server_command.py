"""`shoplens serve` before it serves; `test_server_running` has the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from conftest import Run
from made_shops import make_shop

from shoplens.catalog.opening import open_catalog
from shoplens.cli.serve import serve
from shoplens.models import DEFAULT_MODEL
from shoplens.server.keys import create_key
from shoplens.server.settings import ServerSettings


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


def test_check_tells_what_would_be_served(run: Run, shop: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('title = "Shop"\nmax_k = 50\n')
    create_key(tmp_path / "keys.json", "search")
    words = ("--catalog", shop, "--config", config, "--keys", tmp_path / "keys.json")
    done = run("serve", *words, "--host", "0.0.0.0", "--read-only", "--check")
    assert done.code == 0
    lines = done.out.splitlines()
    assert f"catalogue: {shop}, 7 photos" in lines
    assert lines[1] == "re-ranked by: nothing"
    assert lines[2].startswith(f"model: {DEFAULT_MODEL} (")
    assert f"keys: 1 in {tmp_path / 'keys.json'}" in lines
    assert "address: 0.0.0.0, port 8000" in lines
    for line in ("  title = Shop", "  max_k = 50", "  read_only = True"):
        assert line in lines


def test_check_changes_nothing(run: Run, shop: Path) -> None:
    with open_catalog(shop) as writer:
        writer.delete([99])  # It holds the right to write now.
        assert run("serve", "--catalog", shop, "--check").code == 0


def test_check_tells_what_keeps_it_from_being_served(
    run: Run, shop: Path, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    def told(*words: object) -> tuple[int, str]:
        done = run("serve", *words, "--check")
        assert done.out == ""
        return done.code, done.err

    code, text = told()
    assert (code, "catalog is not set" in text) == (1, True)
    assert told("--catalog", tmp_path / "none")[0] == 3
    assert told("--catalog", shop, "--config", tmp_path / "none")[0] == 3
    code, text = told("--catalog", shop, "--host", "0.0.0.0")
    assert (code, "there are no API keys" in text) == (1, True)
    code, text = told("--catalog", shop, "--model", tmp_path / "none")
    assert code == 3
    assert run("serve", "--catalog", shop, "--keys", tmp_path / "none", "--check").code == 3


def test_a_model_of_ones_own_must_be_named(
    run: Run, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    from shoplens import index, load_encoder

    model = make_model()
    photos = make_shop(tmp_path / "other").parent / "photos"
    index(photos, tmp_path / "toy", encoder=load_encoder(model))
    done = run("serve", "--catalog", tmp_path / "toy", "--check")
    assert done.code == 1
    assert "name the model with --model" in done.err
    assert run("serve", "--catalog", tmp_path / "toy", "--model", model, "--check").code == 0


def test_the_demo_has_its_own_catalogue(run: Run, shop: Path) -> None:
    assert run("serve", "--demo", "--catalog", shop).code == 2
    done = run("serve", "--demo", "--check")
    assert done.code == 0
    assert "40 photos" in done.out


def test_options_are_settings() -> None:
    names = {option.name for option in serve.params if isinstance(option, click.Option)}
    assert names - {"config", "check", "demo"} <= set(ServerSettings.model_fields)


def test_without_the_extra_it_says_what_to_install(
    run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "shoplens.server.running", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("serve", "--catalog", shop)
    assert done.code == 3
    assert "serving needs uvicorn: pip install 'shoplens[serve]'" in done.err
