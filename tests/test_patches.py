"""Places of two photos, and what matches between them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from made_prints import clutter, cover
from PIL import Image

import shoplens
from shoplens import Box, PhotoError
from shoplens.adaptation.frozen_ensemble import freeze
from shoplens.embedding.sets import as_photo
from shoplens.errors import ModelError
from shoplens.models import DEFAULT_MODEL
from shoplens.models.linear_head import LinearHead
from shoplens.patches.explanation import GRID
from shoplens.patches.patch_map import PatchMap, best_match, patch_map_of
from shoplens.reranking.patches import Patches


def places(*degrees: float) -> PatchMap:
    """Return places in a row whose vectors lie in a plane."""
    turns = np.radians(degrees)
    vectors = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    n = len(degrees)
    return PatchMap(vectors, np.full(n, 1 / n, np.float32), 1, n, (0, 0, n, 1))


def test_the_worked_example() -> None:
    """The example of docs/reranking.md."""
    query = places(0, 90)
    assert best_match(query, places(0, 90, 180)) == pytest.approx(1)
    assert best_match(query, places(0, 30)) == pytest.approx((1 + 0.5) / 2)
    scores = np.array([0.6, 0.62], dtype=np.float32)
    new = Patches(weight=0.25).scores(query, [places(0, 90, 180), places(0, 30)], scores)
    np.testing.assert_allclose(new, [0.68, 0.646], atol=1e-6)


def test_a_photo_that_cannot_be_read_gets_the_mean_of_the_others() -> None:
    query = places(0, 90)
    scores = np.array([0.5, 0.5, 0.5], dtype=np.float32)
    new = Patches(weight=1).scores(query, [places(0, 90), None, places(0, 30)], scores)
    np.testing.assert_allclose(new, [0.75, (0.5 + 0.875) / 2, 0.625])
    np.testing.assert_array_equal(Patches().scores(query, [None, None, None], scores), scores)


@pytest.mark.parametrize("size", [(300, 300), (400, 100), (90, 700), (1, 1)])
def test_a_map_has_places_for_the_photo_and_not_for_the_border(size: tuple[int, int]) -> None:
    found = patch_map_of(as_photo(clutter(1, size), "user"))
    assert found.vectors.shape == (found.rows * found.columns, 192)
    assert found.strengths.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    left, top, right, bottom = found.frame
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1])
    assert 0 <= left <= right <= found.columns
    assert 0 <= top <= bottom <= found.rows


def half_alike(seed: int) -> Image.Image:
    """Return a photo with the same print on its left, and its own clutter on its right."""
    image = Image.new("RGB", (600, 400), "white")
    image.paste(cover(5).resize((300, 400)), (0, 0))
    image.paste(clutter(seed, (300, 400)), (300, 0))
    return image


def test_the_half_that_is_the_same_is_hotter() -> None:
    found = shoplens.explain(half_alike(1), half_alike(2))
    for side in (found.query, found.result):
        assert side.heat.shape == (GRID, GRID)
        assert side.heat.dtype == np.float32
        assert side.heat.min() >= 0
        assert side.heat.max() == pytest.approx(1)
        left, right = side.heat[:, : GRID // 2], side.heat[:, GRID // 2 :]
        assert left.mean() > 1.5 * right.mean()
        assert side.box == Box(0, 0, 600, 400)
        assert (side.width, side.height) == (600, 400)


def test_the_query_is_looked_at_in_its_box(tmp_path: Path) -> None:
    half_alike(1).save(tmp_path / "query.png")
    box = Box(300, 100, 500, 400)
    found = shoplens.explain(tmp_path / "query.png", half_alike(2), box=box)
    assert found.query.box == box
    assert found.result.box == Box(0, 0, 600, 400)
    photo = as_photo(tmp_path / "query.png", "user", box)
    np.testing.assert_array_equal(
        shoplens.explain(photo, half_alike(2)).query.heat, found.query.heat
    )


def test_it_is_the_same_from_any_kind_of_picture(tmp_path: Path) -> None:
    stream = io.BytesIO()
    half_alike(1).save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    a = shoplens.explain(stream.getvalue(), half_alike(2))
    b = shoplens.explain(str(tmp_path / "a.png"), half_alike(2))
    np.testing.assert_array_equal(a.result.heat, b.result.heat)


def test_plain_photos_match_nowhere_in_particular() -> None:
    plain = Image.new("RGB", (200, 200), "white")
    found = shoplens.explain(plain, plain)
    assert np.isfinite(found.query.heat).all()


def test_as_json(tmp_path: Path) -> None:
    told = json.loads(json.dumps(shoplens.explain(half_alike(1), half_alike(2)).to_json()))
    assert set(told) == {"query", "result"}
    assert told["query"]["box"] == "0,0,600,400"
    assert np.array(told["result"]["heat"]).shape == (GRID, GRID)


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        shoplens.explain(half_alike(1), tmp_path / "broken.jpg")


def test_other_models_are_not_explained(make_model: Callable[..., Path]) -> None:
    other = shoplens.load_encoder(make_model())
    with pytest.raises(ModelError, match="cannot be explained"):
        shoplens.explain(half_alike(1), half_alike(2), encoder=other)


@pytest.mark.parametrize(
    ("model", "n_features"), [(DEFAULT_MODEL, 2560), ("lite0-products-int8", 1280)]
)
def test_a_built_in_model_with_another_head_is_explained(model: str, n_features: int) -> None:
    head = LinearHead(np.ones((8, n_features), np.float32), np.zeros(8, np.float32))
    adapted = freeze(model).adapted(head, name="mine", source="head fitted to a shop")
    found = shoplens.explain(half_alike(1), half_alike(2), encoder=adapted.encoder)
    assert np.isfinite(found.query.heat).all()


def test_the_built_in_model_is_explained_on_the_sample() -> None:
    dataset = shoplens.read_dataset(ROOT / "examples" / "furniture")
    query = dataset.queries[0]
    result = next(p for p in dataset.gallery if p.product_id == query.product_id)
    found = shoplens.explain(query, result, encoder=shoplens.load_encoder())
    # Sellers' photos are on white: the corners have no part in it.
    corners = found.result.heat[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < 0.5 * found.result.heat.max()
