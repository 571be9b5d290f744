from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shoplens import training
from shoplens.training.config import read_config
from shoplens.training.photos import read_products

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import config_reference  # noqa: E402


def test_the_page_tells_the_schema_as_it_is() -> None:
    page = config_reference.PAGE.read_text(encoding="utf-8")
    assert page == config_reference.filled(page), "run: python scripts/config_reference.py"


def test_every_key_has_its_meaning() -> None:
    for line in config_reference.reference().splitlines():
        if line.startswith("| `"):
            assert line.rstrip("| ").rpartition("|")[2].strip(), line


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no part between"):
        config_reference.filled("# Training\n")


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/training/*.yaml")), ids=lambda p: p.stem
)
def test_the_examples_are_configurations(path: Path) -> None:
    assert read_config(path).name == path.stem


def test_the_small_example_finds_its_photos() -> None:
    products = read_products(read_config(ROOT / "examples" / "training" / "furniture.yaml").photos)
    assert len(products) == 90
    assert all(product.taken_by("user") and product.taken_by("seller") for product in products)
    assert {product.source for product in products} == {"furniture"}
    photos = [photo for product in products for photo in product.photos]
    assert len(photos) == 360
    assert all((photo.box is not None) == (photo.domain == "user") for photo in photos)
    assert not any(photo.problem for photo in photos)


def test_the_package_names_all_its_modules() -> None:
    names = {path.stem for path in Path(training.__file__).parent.glob("*.py")} - {"__init__"}
    assert not {name for name in names if f"`{name}`" not in str(training.__doc__)}
