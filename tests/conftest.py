"""Made data that many tests use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoplens.models import Encoder, load_encoder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The built-in model, loaded once."""
    return load_encoder()


@pytest.fixture(scope="session")
def sample() -> Path:
    """The mini set that ships in the wheel."""
    return ROOT / "src" / "shoplens" / "sample"


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """The challenge's open development photos, where they are at hand."""
    shared = Path(os.environ.get("SHOPLENS_DATA", ROOT.parent / "shared" / "data"))
    folder = shared / "mcs2023-dev-open"
    if not folder.is_dir():
        pytest.skip(f"real photos are not at {folder} (SHOPLENS_DATA names another place)")
    return folder


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Make a smooth colourful picture, another one for each seed."""
    small = np.random.default_rng(seed).integers(256, size=(6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write a test set folder with made pictures; returns it.

    `gallery` holds (id, product) and `queries` (id, product, box as "x,y,w,h") rows. Photos of one
    product show the same picture.
    """

    def make(
        gallery: Sequence[tuple[int, str]] = ((0, "a"), (1, "b"), (2, "c")),
        queries: Sequence[tuple[int, str, str]] = ((0, "a", "0,0,64,48"), (1, "b", "0,0,64,48")),
    ) -> Path:
        root = tmp_path / "dataset"
        for side in ("gallery", "queries"):
            (root / side).mkdir(parents=True)
        lines = ["seller_img_id,img_path,product_id"]
        for number, product in gallery:
            picture(sum(product.encode())).save(root / "gallery" / f"{number}.png")
            lines.append(f"{number},gallery/{number}.png,{product}")
        (root / "gallery.csv").write_text("\n".join(lines) + "\n")
        lines = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
        for number, product, box in queries:
            picture(sum(product.encode())).save(root / "queries" / f"{number}.png")
            lines.append(f"{number},queries/{number}.png,{box},{product}")
        (root / "queries.csv").write_text("\n".join(lines) + "\n")
        return root

    return make
