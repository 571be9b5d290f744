from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from shoplens.records import Box
from shoplens.training.augment import Augmenter
from shoplens.training.config import Augmentation
from shoplens.training.sheets import write_contact_sheet


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_a_row_for_each_photo(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    augmenter = Augmenter(Augmentation(), size=64, pad_colour=(127, 127, 127), clutter=())
    photos = [(tmp_path / "photo.png", "user"), (tmp_path / "broken.jpg", "seller")]
    write_contact_sheet(tmp_path / name, photos, augmenter, seed=3)
    with Image.open(tmp_path / name) as sheet:
        first = np.asarray(sheet.convert("RGB"))
    assert first.shape == (18 + 2 * (164 + 18), 9 * 164, 3)
    for column in range(9):
        tile = first[36:80, column * 164 : column * 164 + 50]
        assert tile.std() > 5
    write_contact_sheet(tmp_path / name, photos, augmenter, seed=3)
    with Image.open(tmp_path / name) as sheet:
        assert np.array_equal(np.asarray(sheet.convert("RGB")), first)


def test_an_empty_sheet(tmp_path):
    augmenter = Augmenter(Augmentation(), size=64, pad_colour=(127, 127, 127), clutter=())
    write_contact_sheet(tmp_path / "sheet.png", [], augmenter)
    assert (tmp_path / "sheet.png").is_file()


def test_a_box_is_drawn_on_its_photo(tmp_path):
    Image.new("RGB", (80, 60), (0, 0, 0)).save(tmp_path / "photo.png")
    augmenter = Augmenter(Augmentation(), size=64, pad_colour=(127, 127, 127), clutter=())
    photos = [(tmp_path / "photo.png", "user", Box(10, 10, 50, 40))]
    write_contact_sheet(tmp_path / "sheet.png", photos, augmenter)
    with Image.open(tmp_path / "sheet.png") as sheet:
        tile = np.asarray(sheet.convert("RGB"))[36 : 36 + 60, :80]
    red = np.argwhere(tile[..., 0] > 200)
    assert (red.min(axis=0), red.max(axis=0)) == (pytest.approx([10, 10]), pytest.approx([39, 49]))
