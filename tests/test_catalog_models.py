"""A catalogue's model is found by its name, where its name is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Run, picture

from shoplens import MissingError, index, load_encoder, open_catalog
from shoplens.errors import ModelError
from shoplens.models.gettable import gettable

NAME = "clip-b16"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def brought(make_model: Callable[..., Path]) -> Path:
    """A small model in the place where `shoplens models get` puts the one of this name."""
    model = gettable(NAME)
    assert model is not None
    model.folder.parent.mkdir(parents=True)
    return make_model(NAME).rename(model.folder)


@pytest.fixture
def shop(photos: Path, brought: Path, tmp_path: Path) -> Path:
    index(photos, tmp_path / "shop", encoder=load_encoder(NAME))
    return tmp_path / "shop"


def test_a_model_that_was_brought_need_not_be_named(run: Run, photos: Path, shop: Path) -> None:
    with open_catalog(shop) as catalog:
        assert catalog.search(photos / "1.png", k=1)[0].path == "1.png"
        assert catalog.encoder().name == NAME
    picture(3).save(photos / "3.png")
    done = run("index", photos, "--catalog", shop, "--json", "-")
    assert done.code == 0, done.err
    assert (done.json["model"]["name"], done.json["n_added"]) == (NAME, 1)
    found = run("search", photos / "3.png", "--catalog", shop, "-k", "1", "--json", "-")
    assert found.code == 0, found.err
    assert found.json["hits"][0]["path"] == "3.png"


def test_a_model_that_is_not_here_has_to_be_brought(
    run: Run, photos: Path, shop: Path, brought: Path, forget_models: Callable[[], None]
) -> None:
    brought.rename(brought.with_name("elsewhere"))
    forget_models()
    with open_catalog(shop) as catalog, pytest.raises(MissingError, match=f"models get {NAME}`"):
        catalog.encoder()
    for words in (("index", photos), ("search", photos / "1.png")):
        failed = run(*words, "--catalog", shop)
        assert failed.code == 3
        assert f"`shoplens models get {NAME}` brings it" in failed.err


def test_another_model_of_this_name_is_refused(
    run: Run,
    photos: Path,
    shop: Path,
    brought: Path,
    make_model: Callable[..., Path],
    forget_models: Callable[[], None],
) -> None:
    brought.rename(brought.with_name("elsewhere"))
    make_model(NAME, mean=[0.0, 0.0, 0.0]).rename(brought)
    forget_models()
    with open_catalog(shop) as catalog, pytest.raises(ModelError, match="catalog migrate"):
        catalog.encoder()
    for words in (("index", photos), ("search", photos / "1.png")):
        failed = run(*words, "--catalog", shop)
        assert failed.code == 1
        assert "cannot be compared" in failed.err


@pytest.fixture(autouse=True)
def forget_models() -> Iterator[Callable[[], None]]:
    """Forget the models that were loaded by their names, also after the test."""
    from shoplens.embedding.queries import builtin_encoder

    yield builtin_encoder.cache_clear
    builtin_encoder.cache_clear()
