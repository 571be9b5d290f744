from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

from shoplens.curation.data_pages import write_leaks
from shoplens.curation.leaks import find_leaks
from shoplens.curation.reading import read_photos
from shoplens.errors import MissingError

SAMPLE = ROOT / "src" / "shoplens" / "sample"
SHOP = sorted((SAMPLE / "gallery").glob("*.jpg"))


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A training table: two other photos, a byte copy and a smaller copy of sample photos."""
    root = tmp_path / "training"
    root.mkdir()
    for number in range(2):
        image = Image.effect_noise((90, 90), 60 + 20 * number).resize((200, 200))
        image.save(root / f"other{number}.jpg")
    (root / "copy.jpg").write_bytes(SHOP[0].read_bytes())
    Image.open(SHOP[1]).resize((150, 150)).save(root / "small.jpg", quality=70)
    (root / "train.csv").write_text(
        "img_path,source,domain,product_id,category\n"
        "other0.jpg,a,user,1,x\n"
        "other1.jpg,a,seller,1,x\n"
        "copy.jpg,a,seller,1855538127,x\n"
        "small.jpg,a,seller,2,x\n"
        "gone.jpg,a,seller,2,x\n"
    )
    return root / "train.csv"


def test_copies_and_shared_products_are_found(training: Path) -> None:
    found = find_leaks(read_photos(training), read_photos(SAMPLE))
    assert not found.ok
    assert [(leak.kind, leak.first.name, leak.second.name) for leak in found.leaks] == [
        ("bytes", "copy.jpg", f"gallery/{SHOP[0].name}"),
        ("near", "small.jpg", f"gallery/{SHOP[1].name}"),
    ]
    assert found.shared_products == ("1855538127",)
    assert found.n_test_photos == 2
    assert [photo.name for photo, _ in found.failures] == ["gone.jpg"]
    values = found.to_json()
    assert values["ok"] is False
    assert (values["n_train"], values["n_test"], values["n_pairs"]) == (5, 80, 2)
    assert values["n_by_kind"] == {"bytes": 1, "near": 1}
    assert values["pairs"][0]["train"]["path"] == "copy.jpg"
    assert values["failures"] == {"missing": 1}


def test_sets_with_nothing_in_common_are_ok(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.effect_noise((90, 90), 60).save(folder / "a.jpg")
    found = find_leaks(read_photos(folder), read_photos(SAMPLE))
    assert found.ok
    assert found.shared_products is None


def test_products_are_compared_when_asked_for(training: Path) -> None:
    found = find_leaks(read_photos(training), read_photos(SAMPLE), products=False)
    assert found.shared_products is None
    assert not found.ok


def test_every_kind_of_source_is_read(training: Path, tmp_path: Path) -> None:
    assert {photo.domain for photo in read_photos(SAMPLE)} == {"user", "seller"}
    assert len(read_photos(SAMPLE)) == 80
    assert len(read_photos(SAMPLE / "gallery.csv")) == 40
    assert len(read_photos(SAMPLE / "gallery")) == 40
    assert len(read_photos(training)) == 5
    assert read_photos(training)[0].domain == "user"
    with pytest.raises(MissingError):
        read_photos(tmp_path / "none")


def test_a_table_with_other_names_is_read(training: Path) -> None:
    text = training.read_text().replace("img_path", "file", 1)
    training.write_text(text)
    columns = {"img_path": "file", "seller_img_id": "number"}
    assert len(read_photos(training, columns=columns)) == 5


def test_the_page_needs_nothing_else_and_escapes_names(
    training: Path, tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    (training.parent / "copy.jpg").rename(training.parent / "<b>&copy.jpg")
    training.write_text(training.read_text().replace("copy.jpg", "<b>&copy.jpg"))
    found = find_leaks(read_photos(training), read_photos(SAMPLE))
    write_leaks(tmp_path / "leaks.html", "Leaks: <i>", found)
    page = (tmp_path / "leaks.html").read_text()
    assert "&lt;b&gt;&amp;copy.jpg" in page
    assert "<b>&copy" not in page
    assert page.count('<img src="data:image/jpeg;base64,') == 4
    assert "http" not in page.replace("http-equiv", "")
    assert "1855538127" in page


def test_pairs_of_two_products_are_marked(training: Path, tmp_path: Path) -> None:
    test = read_photos(SAMPLE)
    (copied,) = (photo for photo in test if photo.name == f"gallery/{SHOP[0].name}")
    table = training.read_text().replace("1855538127", copied.product_id or "")
    training.write_text(table)
    found = find_leaks(read_photos(training), test)
    assert [leak.contradicts for leak in found.leaks] == [False, True]
    assert found.n_contradicting == found.to_json()["n_contradicting"] == 1
    write_leaks(tmp_path / "leaks.html", "Leaks", found)
    page = (tmp_path / "leaks.html").read_text()
    assert page.count('class="pair loud"') == 1
    assert page.count("<b>one picture, two products</b>") == 1
    # Of catalogues that number by themselves, other ids say nothing.
    apart = find_leaks(read_photos(training), read_photos(SAMPLE), products=False)
    assert apart.n_contradicting is None
    write_leaks(tmp_path / "leaks.html", "Leaks", apart)
    assert "two products" not in (tmp_path / "leaks.html").read_text()


def test_progress_tells_of_both_sets() -> None:
    told: list[tuple[str, int, int]] = []
    photos = read_photos(SAMPLE)[:3]
    find_leaks(photos, photos, progress=lambda *values: told.append(values))
    assert ("training photos", 3, 3) in told
    assert ("test photos", 3, 3) in told
    assert told[-1][0] == "compare"
    assert told[-1][1] == told[-1][2]


def test_memory_holds_sketches_and_no_photos(tmp_path: Path) -> None:
    """A large photo leaves kilobytes behind, not its pixels."""
    from shoplens.curation.duplicates import sketch_photos

    stream = io.BytesIO()
    Image.effect_noise((1500, 1500), 80).save(stream, "JPEG")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    (sketch,), _ = sketch_photos(read_photos(tmp_path))
    assert sum(view.grey.nbytes + view.colour.nbytes for view in sketch.views) < 5000
    assert all(view.grey.base is None or view.grey.base.nbytes < 5000 for view in sketch.views)
