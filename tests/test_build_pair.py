"""The built-in pair of networks (scripts/build_pair.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoplens import PhotoSet, embed, load_encoder, read_dataset
from shoplens.models.ensemble import Ensemble
from shoplens.pixels.decoding import Decoded

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import build_pair


def test_the_folder_holds_both_networks(
    make_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = make_model("second")
    output = tmp_path / "pair"
    monkeypatch.setattr(sys, "argv", ["build_pair", str(second), "-o", str(output)])
    build_pair.main()
    made = load_encoder(output)
    assert isinstance(made, Ensemble)
    assert [recipe.input_size for recipe in made.recipes] == [448, 16]
    assert made.dimension == 512 + 48
    assert made.fingerprint in capsys.readouterr().out


def test_the_one_that_ships_is_of_the_same_first_network(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "pair"
    monkeypatch.setattr(sys, "argv", ["build_pair", str(make_model()), "-o", str(output)])
    build_pair.main()
    ours, shipped = (load_encoder(model) for model in (output, "lite0-lite2-products"))
    assert isinstance(ours, Ensemble)
    assert isinstance(shipped, Ensemble)
    assert ours.members[0].encoder.fingerprint == shipped.members[0].encoder.fingerprint
    assert (ours.name, ours.version) == (shipped.name, shipped.version)


def test_only_the_first_network_is_spared_the_borders_of_sellers_photos() -> None:
    pair = load_encoder("lite0-lite2-products")
    picture = Image.new("RGB", (400, 400), "white")
    picture.paste((255, 0, 0), (120, 120, 280, 280))
    photo = Decoded(picture, picture.size, 1.0, None, clipped=False)
    share_of_red = [
        [float((view[0, :, :, 1] < 128).mean()) for view in pair.prepare(photo, domain)]
        for domain in ("seller", "user")
    ]
    np.testing.assert_allclose(share_of_red, [[1, 0.16], [0.16, 0.16]], atol=0.01)


def test_a_vector_is_both_networks_vectors(sample: Path) -> None:
    pair = load_encoder("lite0-lite2-products")
    assert isinstance(pair, Ensemble)
    queries = PhotoSet(read_dataset(sample).queries[:4])
    joined = embed(queries, pair).vectors
    for member, place in zip(pair.members, (slice(512), slice(512, None)), strict=True):
        alone = embed(queries, member.encoder).vectors
        np.testing.assert_allclose(joined[:, place] * 2**0.5, alone, atol=1e-6)
