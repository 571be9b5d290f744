from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, picture
from PIL import Image

SCRIPT = ROOT / "scripts" / "pack_photos.py"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a training table: a large photo with a box, one on its side, a render, a fault."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    picture(0, (600, 300)).save(folder / "sub" / "large.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (200, 100)).save(folder / "turned.jpg", exif=exif)
    render = picture(2, (80, 60)).convert("RGBA")
    render.putalpha(Image.linear_gradient("L").resize((80, 60)))
    render.save(folder / "render.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    rows = ["img_path,source,domain,product_id,category,bbox_x,bbox_y,bbox_w,bbox_h"]
    rows += [
        "sub/large.jpg,shop,user,1,c,60,30,300,150", "turned.jpg,shop,user,2,c,,,,",
        "render.png,shop,seller,2,c,,,,", "broken.jpg,shop,user,3,c,,,,",
        "sub/large.jpg,other,user,1,c,,,,",
    ]  # fmt: skip
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return folder / "train.csv"


def pack(table: Path, *words: str) -> tuple[Path, list[dict[str, str]], str]:
    target = table.parents[1] / "packed"
    command = [sys.executable, str(SCRIPT), str(table), str(target), *words]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with (target / "train.csv").open(newline="") as stream:
        return target, list(csv.DictReader(stream)), told


def test_photos_are_small_upright_and_boxed_as_before(table: Path) -> None:
    target, rows, told = pack(table, "--sources", "shop", "--side", "150")
    assert [row["img_path"] for row in rows] == ["sub/large.webp", "turned.webp", "render.webp"]
    assert "left out, not to be read: broken.jpg" in told
    assert "3 of 4 photos" in told
    assert [rows[0][f"bbox_{c}"] for c in "xywh"] == ["15.00", "7.50", "75.00", "37.50"]
    sizes = []
    for row in rows:
        with Image.open(target / row["img_path"]) as image:
            sizes.append(image.size)
    assert sizes == [(150, 75), (75, 150), (80, 60)]
    with Image.open(target / "render.webp") as render:
        assert render.mode == "RGBA"
        assert render.getpixel((40, 0))[3] < 20
        assert render.getpixel((40, 59))[3] > 230


def test_what_is_packed_is_not_packed_again(table: Path) -> None:
    target, _, _ = pack(table)
    (target / "turned.webp").write_bytes(b"as it was left")
    pack(table)
    assert (target / "turned.webp").read_bytes() == b"as it was left"
