"""What the page says of how sure a search is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SAMPLE, Visiting
from playwright.sync_api import expect
from server_process import ServerProcess, serving

import shoplens
from shoplens import Calibration


@pytest.fixture(scope="module")
def calibration(shop: Path) -> Calibration:
    """Fitted to the sample, and strict: few searches are a match."""
    encoder, data = shoplens.load_encoder(), shoplens.read_dataset(SAMPLE)
    found = shoplens.calibrate(
        shoplens.embed(data.queries, encoder), shoplens.embed(data.gallery, encoder)
    )
    return replace(found, no_match_below=found.estimator.probabilities(_middling()).item())


def _middling() -> object:
    import numpy as np

    return np.array([[0.5, 0.05, 0.0, 0.2, 0.2]])


@pytest.fixture(scope="module")
def sure_server(
    shop: Path, calibration: Calibration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    file = tmp_path_factory.mktemp("calibration") / "confidence.json"
    calibration.save(file)
    with serving("--catalog", shop, "--read-only", "--confidence", file) as running:
        yield running


def test_a_match_and_no_match(
    visit: Visiting, sure_server: ServerProcess, gallery_photo: Path, tmp_path: Path
) -> None:
    seen = visit(sure_server)
    seen.search(gallery_photo)
    seen.page.locator(".surface").press("Escape")
    seen.settled()
    expect(seen.page.locator("ol.grid .card").first).to_contain_text("% likely the same product")
    expect(seen.page.locator(".unmatched")).to_have_count(0)
    from PIL import Image

    Image.effect_noise((320, 240), 90).save(tmp_path / "noise.png")
    seen.search(tmp_path / "noise.png")
    expect(seen.page.locator(".unmatched")).to_contain_text("not in this catalogue")
    # Then no card says how likely it is.
    expect(seen.page.get_by_text("likely the same product")).to_have_count(0)


def test_a_server_without_a_calibration_says_nothing(
    visit: Visiting, server: ServerProcess, gallery_photo: Path
) -> None:
    seen = visit(server)
    seen.search(gallery_photo)
    expect(seen.page.get_by_text("likely the same product")).to_have_count(0)
