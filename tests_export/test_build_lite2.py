"""The built-in model is what its script exports, and computes what torch computes.

Runs in an environment of its own (`python3 make.py export`), for it needs torch.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from shoplens import load_encoder
from shoplens.crops import crop
from shoplens.images import decode
from shoplens.models.encoder import OnnxEncoder

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "src" / "shoplens" / "sample"
sys.path.insert(0, str(ROOT / "scripts"))

pytestmark = [
    # torch's TorchScript exporter warns of its own age, of traces and of what it does not fold.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Constant folding:UserWarning"),
]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    from build_lite2 import GemLite2

    return GemLite2().eval()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Prepared sample photos, (n, 260, 260, 3) uint8."""
    with (SAMPLE / "gallery.csv").open(newline="", encoding="utf-8") as stream:
        names = [row["img_path"] for row in csv.DictReader(stream)][:12]
    recipe = load_encoder().recipe
    return np.stack(
        [
            crop(
                decode((SAMPLE / name).read_bytes()),
                size=recipe.input_size, fit=recipe.fit, pad_colour=recipe.pad_colour,
            )
            for name in names
        ]
    )  # fmt: skip


def test_torch_and_the_shipped_model_give_the_same_vectors(
    model: torch.nn.Module, pixels: np.ndarray
) -> None:
    from build_lite2 import RECIPE

    with torch.no_grad():
        pooled = torch.nn.functional.normalize(model(torch.from_numpy(pixels))).numpy()
    shipped = load_encoder()
    centre = np.asarray(shipped.recipe.centres["seller"], dtype=np.float32)
    expected = pooled - centre
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = shipped.encode(pixels, ["seller"] * len(pixels))
    assert np.abs(expected - found).max() < 1e-5
    # The check can fail: another domain's centre gives other vectors.
    assert np.abs(expected - shipped.encode(pixels, ["user"] * len(pixels))).max() > 1e-3
    assert shipped.recipe.dimension == RECIPE.dimension


def test_the_script_exports_the_shipped_graph(model: torch.nn.Module, pixels: np.ndarray) -> None:
    from build_lite2 import RECIPE, export

    again = OnnxEncoder(export(model), RECIPE)
    folder = ROOT / "src/shoplens/models/builtin/lite2-imagenet"
    shipped = OnnxEncoder((folder / "model.onnx").read_bytes(), RECIPE)
    domains = ["user"] * len(pixels)
    assert np.abs(again.encode(pixels, domains) - shipped.encode(pixels, domains)).max() < 1e-6


def test_the_shipped_recipe_differs_from_the_scripts_in_its_centres_alone() -> None:
    from dataclasses import replace

    from build_lite2 import RECIPE

    shipped = load_encoder().recipe
    assert replace(shipped, centres={}) == RECIPE
    assert set(shipped.centres) == {"user", "seller"}
