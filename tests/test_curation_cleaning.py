from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoplens.boxes.proposing import overlap
from shoplens.curation.cleaning import (
    Cleaning,
    find_boxes,
    find_copies,
    find_same_products,
    find_unlike_pairs,
    read_tables,
    write_cleaned,
)
from shoplens.curation.cleaning.groups import linked_groups
from shoplens.datasets.checking import check
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.records import Box

SAMPLE = ROOT / "src" / "shoplens" / "sample"
Make = Callable[..., Path]


def textured(seed: int, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Make a picture that no other seed's is a near-duplicate of."""
    small = np.random.default_rng(seed).integers(256, size=(24, 32, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def content(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Path]:
    """Write a test set whose photos show the pictures of the given seeds.

    `gallery` holds (product, seed), `queries` (product, seed), each with a size as a third.
    """

    def make(gallery: list[tuple], queries: list[tuple], name: str = "shop") -> Path:  # type: ignore[type-arg]
        root = tmp_path / name
        sides = {"gallery": ("seller", gallery), "queries": ("user", queries)}
        for side, (domain, photos) in sides.items():
            (root / side).mkdir(parents=True)
            box = "bbox_x,bbox_y,bbox_w,bbox_h," if domain == "user" else ""
            lines = [f"{domain}_img_id,img_path,{box}product_id,brand"]
            for number, (product, seed, *rest) in enumerate(photos):
                size = rest[0] if rest else (256, 192)
                textured(seed, size).save(root / side / f"{number}.png")
                box = f"0,0,{size[0]},{size[1]}," if domain == "user" else ""
                lines.append(f"{10 + number},{side}/{number}.png,{box}{product},brand {seed}")
            (root / f"{side}.csv").write_text("\n".join(lines) + "\n")
        return root

    return make


def kinds(cleaning: Cleaning) -> dict[str, str]:
    return {change.photo.name: str(change.becomes or change.kind) for change in cleaning.changes}


def test_a_user_photo_of_another_product_is_left_out(shop: Make) -> None:
    root = shop([("a", 1), ("b", 2)], [("a", 1), ("b", 2), ("b", 1)])
    tables = read_tables(root)
    lowest, second, _ = find_unlike_pairs(tables, -1.0).similarities
    assert second - lowest > 0.01
    found = find_unlike_pairs(tables, (lowest + second) / 2)
    assert kinds(found) == {"queries/2.png": "left_out"}
    assert found.changes[0].beside == tables.photos[1]
    assert found.counts == {"n_compared": 3, "n_without_seller": 0}
    assert len(found.similarities) == 3
    assert not find_unlike_pairs(tables, -1.0).changes
    assert len(find_unlike_pairs(tables, 1.0).changes) == 3


def test_a_user_photo_without_a_seller_photo_stays(shop: Make) -> None:
    root = shop([("a", 1)], [("a", 1), ("c", 2)])
    found = find_unlike_pairs(read_tables(root), 0.99)
    assert "queries/1.png" not in kinds(found)
    assert found.counts["n_without_seller"] == 1


def test_the_most_doubtful_pairs_come_first(shop: Make) -> None:
    root = shop([("a", 1), ("b", 2)], [("a", 1), ("a", 2), ("b", 2), ("b", 5)])
    found = find_unlike_pairs(read_tables(root), 1.0)
    reasons = [change.reason for change in found.changes]
    assert reasons == sorted(reasons, reverse=True)


def test_products_with_the_same_photos_become_one(shop: Make) -> None:
    gallery = [("a", 1), ("a", 2), ("a", 3), ("b", 2), ("c", 4), ("d", 5)]
    root = shop(gallery, [("b", 6), ("c", 7)])
    found = find_same_products(read_tables(root))
    # `a` has more photos, so its id stays; users' photos follow.
    assert kinds(found) == {"gallery/3.png": "a", "queries/0.png": "a"}
    assert found.counts["n_merged"] == 1
    assert found.counts["n_products_before"] == 4
    shown = next(change for change in found.changes if change.beside is not None)
    assert (shown.photo.name, shown.beside and shown.beside.name) == (
        "gallery/3.png",
        "gallery/1.png",
    )


def test_one_shared_picture_of_many_merges_nothing(shop: Make) -> None:
    gallery = [("a", 1), ("a", 2), ("a", 9), ("b", 3), ("b", 4), ("b", 9)]
    tables = read_tables(shop(gallery, [("a", 1)]))
    found = find_same_products(tables)
    assert not found.changes
    assert found.counts["n_pairs_spared"] == 1
    assert len(find_same_products(tables, min_shared=0.3).changes) == 3


def test_a_picture_that_many_products_show_is_ignored(shop: Make) -> None:
    gallery = [(product, 9) for product in "abcdef"]
    tables = read_tables(shop(gallery, [("a", 1)]))
    found = find_same_products(tables)
    assert not found.changes
    assert found.counts["n_pictures_ignored"] == 1
    merged = find_same_products(tables, most_products=6)
    assert set(kinds(merged).values()) == {"a"}
    assert merged.counts["n_groups"] == 1


def test_products_are_linked_through_others(shop: Make) -> None:
    gallery = [("a", 1), ("b", 1), ("b", 2), ("c", 2)]
    found = find_same_products(read_tables(shop(gallery, [("c", 5)])))
    assert set(kinds(found).values()) == {"b"}
    assert {change.photo.product_id for change in found.changes} == {"a", "c"}
    assert all("3 products are one" in change.reason for change in found.changes)


def test_a_share_that_is_none_is_refused(shop: Make) -> None:
    tables = read_tables(shop([("a", 1)], [("a", 1)]))
    with pytest.raises(ShoplensError, match="min_shared must be above 0"):
        find_same_products(tables, min_shared=0)


def test_of_copies_the_larger_seller_photo_stays(shop: Make) -> None:
    gallery = [("a", 1, (128, 96)), ("a", 1, (256, 192)), ("a", 2), ("b", 3)]
    found = find_copies(read_tables(shop(gallery, [("a", 1), ("b", 4)])))
    assert kinds(found) == {"gallery/0.png": "left_out", "queries/0.png": "left_out"}
    # The query that finds itself comes first.
    assert found.changes[0].photo.domain == "user"
    assert {change.beside and change.beside.name for change in found.changes} == {"gallery/1.png"}
    assert found.counts["n_queries_left_out"] == 1


def test_copies_under_two_products_stay_and_are_counted(shop: Make) -> None:
    found = find_copies(read_tables(shop([("a", 1), ("b", 1)], [("a", 2)])))
    assert not found.changes
    assert found.counts["n_contradicting"] == 1


def test_of_many_equal_files_one_stays(shop: Make) -> None:
    gallery = [("a", 1)] * 4 + [("b", 1)] * 2
    found = find_copies(read_tables(shop(gallery, [("a", 2)])))
    assert len(found.changes) == 4
    assert {change.beside and change.beside.name for change in found.changes} == {
        "gallery/0.png",
        "gallery/4.png",
    }


def test_rows_of_one_file_and_boxes_around_other_things_stay(shop: Make) -> None:
    root = shop([("a", 9)], [("a", 1), ("a", 1), ("a", 1)])
    text = (root / "queries.csv").read_text()
    text = text.replace("queries/1.png", "queries/0.png")
    text = text.replace("queries/0.png,0,0,256,192", "queries/0.png,0,0,100,192", 1)
    (root / "queries.csv").write_text(text)
    found = find_copies(read_tables(root))
    # Row 2 has another box than row 4, and row 3 is of one file with row 2.
    assert kinds(found) == {"queries/2.png": "left_out"}
    text = text.replace("queries/2.png,0,0,256,192", "queries/2.png,150,0,100,192")
    (root / "queries.csv").write_text(text)
    assert not find_copies(read_tables(root)).changes


def test_a_box_is_found_around_the_product(shop: Make) -> None:
    """Each seller photo of the sample is pasted into a plain user photo."""
    data = read_dataset(SAMPLE)
    root = shop([(str(n), n) for n in range(4)], [(str(n), n, (480, 360)) for n in range(4)])
    places = []
    for number in range(4):
        product = data.gallery[number * 5]
        with Image.open(product.path) as image:
            small = image.convert("RGB").resize((160, 160))
        scene = Image.new("RGB", (480, 360), small.getpixel((2, 2)))
        left, top = 40 + 60 * number, 30 + 40 * number
        scene.paste(small, (left, top))
        scene.save(root / "queries" / f"{number}.png")
        places.append(Box(left, top, left + 160, top + 160))
    found = find_boxes(read_tables(root))
    assert len(found.changes) == 4
    for change in found.changes:
        assert isinstance(change.becomes, Box)
        assert overlap(change.becomes, places[int(change.photo.product_id or 0)]) > 0.2
        assert change.beside is not None
        assert change.beside.product_id == change.photo.product_id
    scores = [change.score or 0.0 for change in found.changes]
    assert scores == sorted(scores)
    few = find_boxes(read_tables(root), min_score=scores[2])
    assert len(few.changes) == 2
    assert few.counts["n_below"] == 2


def test_photos_with_boxes_are_not_boxed_again(sample: Path) -> None:
    found = find_boxes(read_tables(sample))
    assert not found.changes
    assert found.counts["n_with_box"] == len(read_dataset(sample).queries)


def test_what_is_written_is_the_dataset_less_what_is_left_out(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("a", 1), ("b", 3)], [("a", 4), ("b", 5)])
    before = content(root)
    write_cleaned(find_copies(read_tables(root)), tmp_path / "clean")
    assert content(root) == before
    after = content(tmp_path / "clean")
    assert set(before) - set(after) == {"gallery/1.png"}
    assert set(after) - set(before) == {"changes.csv"}
    assert after["queries.csv"] == before["queries.csv"]
    lines = before["gallery.csv"].splitlines()
    # Ids and further columns stay as they are.
    assert after["gallery.csv"].splitlines() == [lines[0], lines[1], lines[3]]
    (change,) = rows(tmp_path / "clean" / "changes.csv")
    assert change["table"] == "gallery.csv"
    assert (change["row"], change["img_path"]) == ("3", "gallery/1.png")
    assert (change["change"], change["from"], change["to"]) == ("left_out", "a", "")
    assert change["beside"] == "gallery/0.png"
    assert check(tmp_path / "clean").ok


def test_a_merged_product_is_written(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("b", 1)], [("b", 2)])
    write_cleaned(find_same_products(read_tables(root)), tmp_path / "clean", how="link")
    data = read_dataset(tmp_path / "clean")
    assert {photo.product_id for photo in (*data.gallery, *data.queries)} == {"a"}
    assert (root / "gallery/0.png").samefile(tmp_path / "clean" / "gallery/0.png")
    assert not find_same_products(read_tables(tmp_path / "clean")).changes


def test_a_table_without_boxes_gets_columns_for_them(tmp_path: Path) -> None:
    data = read_dataset(SAMPLE)
    root = tmp_path / "train"
    (root / "p").mkdir(parents=True)
    lines = ["img_path,domain,product_id,source"]
    for number, photo in enumerate([*data.queries[:6], *data.gallery]):
        name = f"p/{number}.jpg"
        (root / name).write_bytes(photo.path.read_bytes())
        lines.append(f"{name},{photo.domain},{photo.product_id},made")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    found = find_boxes(read_tables(root / "train.csv"))
    assert found.changes
    write_cleaned(found, tmp_path / "boxed")
    written = rows(tmp_path / "boxed" / "train.csv")
    assert list(written[0]) == [*lines[0].split(","), "bbox_x", "bbox_y", "bbox_w", "bbox_h"]
    boxed = [row for row in written if row["bbox_w"]]
    assert len(boxed) == len(found.changes)
    again = read_tables(tmp_path / "boxed" / "train.csv")
    assert {str(p.box) for p in again.photos if p.box} == {str(c.becomes) for c in found.changes}


def test_a_table_that_would_be_empty_is_not_written(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1)], [("a", 2)])
    found = find_unlike_pairs(read_tables(root), 1.0)
    with pytest.raises(DataError, match=r"no row of queries\.csv would be left"):
        write_cleaned(found, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_photos_that_cannot_be_used_stay(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("a", 1), ("a", 7)], [("a", 2), ("a", 3)])
    (root / "gallery/2.png").write_bytes(b"no photo")
    (root / "queries/1.png").unlink()
    found = find_copies(read_tables(root))
    assert {photo.name for photo, _ in found.failures} == {"gallery/2.png", "queries/1.png"}
    write_cleaned(found, tmp_path / "clean")
    assert len(rows(tmp_path / "clean" / "gallery.csv")) == 2
    assert len(rows(tmp_path / "clean" / "queries.csv")) == 2
    assert (tmp_path / "clean" / "gallery/2.png").read_bytes() == b"no photo"


def test_a_gallery_alone_can_be_cleaned(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("a", 1)], [("a", 2)])
    (root / "queries.csv").unlink()
    write_cleaned(find_copies(read_tables(root)), tmp_path / "clean")
    assert len(rows(tmp_path / "clean" / "gallery.csv")) == 1


def test_own_column_names_are_kept(shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("b", 1)], [("b", 2)])
    for name in ("gallery.csv", "queries.csv"):
        path = root / name
        path.write_text(path.read_text().replace("product_id", "sku"))
    tables = read_tables(root, columns={"product_id": "sku"})
    write_cleaned(find_same_products(tables), tmp_path / "clean")
    assert {row["sku"] for row in rows(tmp_path / "clean" / "gallery.csv")} == {"a"}


def test_what_cannot_be_cleaned_is_refused(shop: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"neither gallery\.csv nor queries\.csv"):
        read_tables(tmp_path)
    root = shop([("a", 1), ("", 2)], [("a", 1)])
    with pytest.raises(DataError, match=r"gallery\.csv, row 3: the product is not known"):
        find_unlike_pairs(read_tables(root), 0.5)
    path = root / "queries.csv"
    path.write_text(path.read_text().replace("img_path", "file"))
    with pytest.raises(DataError, match="1 fault"):
        read_tables(root)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_groups_hold_what_is_linked(pairs: list[tuple[int, int]]) -> None:
    groups = linked_groups(pairs)
    members = [one for group in groups for one in group]
    assert sorted(members) == sorted({one for pair in pairs for one in pair})
    of = {one: number for number, group in enumerate(groups) for one in group}
    assert all(of[a] == of[b] for a, b in pairs)
    # Nothing else is in a group: each can be reached from the first by the pairs.
    for group in groups:
        reached = {group[0]}
        for _ in group:
            reached |= {b for a, b in pairs if a in reached} | {a for a, b in pairs if b in reached}
        assert reached == set(group)


def test_clean_as_commands(run: Run, shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("a", 1), ("b", 1), ("b", 3)], [("a", 4), ("b", 3), ("b", 9)])
    before = content(root)
    page = tmp_path / "page.html"
    options = {"pairs": ("--min-similarity", "0.2"), "products": (), "copies": (), "boxes": ()}
    for task, words in options.items():
        found = run("dataset", "clean", task, root, "--dry-run", *words, "-o", page, "--json", "-")
        assert found.code == 0, found.err
        assert "dry run: no dataset was written" in found.err
        assert found.json["task"] == task
        assert found.json["output"] is None
        assert found.json["n_photos"] == 7
        assert page.read_text().startswith("<!doctype html>")
        target = tmp_path / task
        wrote = run("dataset", "clean", task, root, target, *words, "--json", "-")
        assert wrote.code == 0, wrote.err
        assert wrote.json["changes"] == found.json["changes"]
        assert [r["img_path"] for r in rows(target / "changes.csv")] == [
            change["img_path"] for change in found.json["changes"]
        ]
        assert run("check", target).code == 0
    assert content(root) == before


def test_a_dry_run_and_a_folder_exclude_each_other(run: Run, shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1)], [("a", 1)])
    for words in ((), (tmp_path / "out", "--dry-run")):
        refused = run("dataset", "clean", "copies", root, *words)
        assert refused.code == 2
        assert "one of the two" in refused.err
    assert run("dataset", "clean", "copies", root, root).code == 1
    assert run("dataset", "clean", "pairs", root, "--dry-run").code == 2
    assert not (tmp_path / "out").exists()


def test_the_page_shows_pairs_side_by_side(run: Run, shop: Make, tmp_path: Path) -> None:
    root = shop([("a", 1), ("b", 2)], [("a", 2), ("b", 2), ("b", 4)])
    page = tmp_path / "page.html"
    words = ("--min-similarity", "0.6", "--dry-run", "-o", page)
    assert run("dataset", "clean", "pairs", root, *words).code == 0
    text = page.read_text()
    assert "looks unlike its product" in text
    assert "threshold 0.6" in text
    assert text.count("data:image/jpeg") >= 2
