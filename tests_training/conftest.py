"""What the tests of the extra [train] share."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from shoplens.training.config import Config

# Several threads on tiny networks wait for each other more than they compute.
torch.set_num_threads(1)

COLOURS = ("red", "green", "blue", "gold", "purple", "teal", "black", "pink")

EXPORTER_WARNINGS = (
    # torch's TorchScript exporter warns of its own age, of traces and of what it does not fold.
    "ignore::DeprecationWarning",
    "ignore::torch.jit.TracerWarning",
    "ignore:Constant folding:UserWarning",
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A training table of eight made products: a coloured shape, three photos of each domain."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number, colour in enumerate(COLOURS):
        for domain in ("user", "seller"):
            for take in range(3):
                name = f"{colour}-{domain}-{take}.jpg"
                ground = "white" if domain == "seller" else tuple(rng.integers(90, 200, 3).tolist())
                image = Image.new("RGB", (120, 100), ground)
                draw = ImageDraw.Draw(image)
                x, y = rng.integers(10, 30, 2).tolist()
                shape = draw.ellipse if number % 2 else draw.rectangle
                shape((x, y, x + 60, y + 50), fill=colour)
                image.save(folder / name, quality=90)
                rows.append([name, "made", domain, colour, "round" if number % 2 else "square"])
    file = folder / "train.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["img_path", "source", "domain", "product_id", "category"])
        writer.writerows(rows)
    return file


@pytest.fixture
def tiny(table: Path) -> Config:
    """A run of seconds: Lite0 with random weights at 32 pixels."""
    return Config.model_validate(
        {
            "name": "tiny",
            "licence": "CC0-1.0",
            "photos": [{"table": table}],
            "holdout": {"share": 0.4},
            "views": {"input_size": 32, "per_product": 2, "augmentation": "full"},
            "batch": {"products": 3, "views": 4},
            "network": {
                "backbone": "imagenet:lite0", "random_weights": True, "frozen_stages": 5,
                "dimension": 16, "nested": [8],
            },
            "losses": [{"kind": "supcon", "memory": 16}, {"kind": "keep", "temperature": 0.05}],
            "optimiser": {"epochs": 2, "steps_per_epoch": 3},
        }
    )  # fmt: skip
