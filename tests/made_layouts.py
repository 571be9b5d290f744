"""Tiny trees in the layouts in which datasets are published, with real photos of every product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conftest import picture


def photo(path: Path, seed: int) -> None:
    """Write a photo; photos of different seeds show different pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Pillow does not know the ending of `.JPG.JPG` and the like, so the format is named.
    picture(seed).save(path, "JPEG", quality=90)


def listing(path: Path, rows: Sequence[str], end: str = "\n") -> None:
    """Write lines with the given line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(row + end for row in rows).encode())


def products_10k(root: Path, end: str = "\n") -> None:
    """Two products with two or three photos in each split, in two groups."""
    train = [("0.jpg", 0, 5), ("1.jpg", 0, 5), ("2.jpg", 1, 7), ("3.jpg", 1, 7)]
    test = [("4.jpg", 0), ("5.jpg", 0), ("6.jpg", 0), ("7.jpg", 1), ("8.jpg", 1)]
    listing(root / "train.csv", ["name,class,group", *(f"{n},{c},{g}" for n, c, g in train)], end)
    rows = ["name,class,Usage", *(f"{n},{c},Public" for n, c in test)]
    listing(root / "test_kaggletest.csv", rows, end)
    for split, names in (("train", [n for n, *_ in train]), ("test", [n for n, _ in test])):
        for name in names:
            photo(root / split / name, int(name[0]))


def stanford_online_products(root: Path, end: str = "\n") -> None:
    """Two products to train with and two to test with, one of them with a single photo."""
    root = root / "Stanford_Online_Products"
    header = "image_id class_id super_class_id path"
    train = ["1 1 1 bicycle_final/11_0.JPG", "2 1 1 bicycle_final/11_1.JPG"]
    train += ["3 2 2 chair_final/22_0.JPG", "4 2 2 chair_final/22_1.JPG"]
    test = ["5 11319 1 bicycle_final/33_0.JPG", "6 11319 1 bicycle_final/33_1.JPG"]
    test += ["7 11319 1 bicycle_final/33_2.JPG", "8 11320 2 chair_final/44_0.JPG"]
    listing(root / "Ebay_train.txt", [header, *train], end)
    listing(root / "Ebay_test.txt", [header, *test], end)
    listing(root / "Ebay_info.txt", [header, *train, *test], end)
    for row in (*train, *test):
        number, _, _, name = row.split()
        photo(root / name, int(number))


def deepfashion_in_shop(root: Path, end: str = "\n") -> None:
    """Two items to train with, two with queries and a gallery; all photos have boxes."""
    above = "img/WOMEN/Dresses"
    rows = [
        (f"{above}/id_00000001/01_1_front.jpg", "id_00000001", "train"),
        (f"{above}/id_00000001/01_2_side.jpg", "id_00000001", "train"),
        (f"{above}/id_00000002/02_1_front.jpg", "id_00000002", "query"),
        (f"{above}/id_00000002/02_2_side.jpg", "id_00000002", "gallery"),
        ("img/MEN/Denim/id_00000003/03_1_front.jpg", "id_00000003", "query"),
        ("img/MEN/Denim/id_00000003/03_7_additional.jpg", "id_00000003", "gallery"),
    ]
    header = "image_name item_id evaluation_status"
    _partition(root, header, [f"{n:<60}{i}    {s}" for n, i, s in rows], end)
    header = "image_name clothes_type pose_type x_1 y_1 x_2 y_2"
    boxes = [f"{name} 3 1 010 005 050 040" for name, *_ in rows]
    listing(root / "Anno" / "list_bbox_inshop.txt", [str(len(boxes)), header, *boxes], end)
    for number, (name, *_) in enumerate(rows):
        photo(root / "Img" / name, number)


def deepfashion_consumer_to_shop(root: Path, end: str = "\n") -> None:
    """An item to train with, one to validate and two to test with; consumers' photos repeat."""
    shirts, dresses = "img/TOPS/T_Shirt", "img/DRESSES/Lace_Dress"
    items = [
        (f"{shirts}/id_00000001", ["comsumer_01.jpg"], ["shop_01.jpg"], "train"),
        (f"{dresses}/id_00000002", ["comsumer_01.jpg"], ["shop_01.jpg"], "val"),
        (f"{shirts}/id_00000003", ["comsumer_01.jpg", "comsumer_02.jpg"], ["shop_01.jpg"], "test"),
        (f"{dresses}/id_00000004", ["comsumer_01.jpg"], ["shop_01.jpg", "shop_02.jpg"], "test"),
    ]
    rows, boxes, number = [], [], 0
    for folder, consumers, shops, status in items:
        item = folder.rpartition("/")[2]
        rows += [f"{folder}/{c} {folder}/{s} {item} {status}" for c in consumers for s in shops]
        for name in (*consumers, *shops):
            source = 2 if name.startswith("comsumer") else 1
            boxes.append(f"{folder}/{name} 1 {source} 10 5 50 40")
            photo(root / "Img" / folder / name, number)
            number += 1
    header = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    _partition(root, header, rows, end)
    header = "image_name clothes_type source_type x_1 y_1 x_2 y_2"
    listing(root / "Anno" / "list_bbox_consumer2shop.txt", [str(len(boxes)), header, *boxes], end)


def _partition(root: Path, header: str, rows: Sequence[str], end: str) -> None:
    path = root / "Eval" / "list_eval_partition.txt"
    listing(path, [str(len(rows)), header, *rows], end)


def grocery_store(root: Path, end: str = "\n") -> None:
    """Three classes with an iconic photo each, two of them in the test split."""
    root = root / "dataset"
    classes = [("Golden-Delicious", "Apple", "Fruit/Apple"), ("Lemon", "Lemon", "Fruit")]
    classes.append(("Oatly-Oat-Milk", "Oat-Milk", "Packages/Oat-Milk"))
    header = (
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    )
    rows = [header]
    for number, (name, coarse, above) in enumerate(classes):
        folder = f"/iconic-images-and-descriptions/{above}/{name}"
        iconic, told = f"{folder}/{name}_Iconic.jpg", f"{folder}/{name}_Description.txt"
        rows.append(f"{name},{number},{coarse},{number},{iconic},{told}")
        photo(root / iconic[1:], number)
    listing(root / "classes.csv", rows, end)
    splits: Mapping[str, Sequence[int]] = {"train": (0, 0, 1, 2), "val": (1,), "test": (0, 1, 1)}
    for split, numbers in splits.items():
        rows = []
        for count, number in enumerate(numbers):
            name, _, above = classes[number]
            path = f"{split}/{above}/{name}/{name}_{count + 1:03}.jpg"
            photo(root / path, 100 * number + len(split) + count)
            rows.append(f"{path}, {number}, {number}")
        listing(root / f"{split}.txt", rows, end)


def rp2k(root: Path, end: str = "\n") -> None:
    """Two products with Chinese names in both splits, and one with a single photo."""
    products = {"农夫山泉": 3, "可口可乐500ml": 2, "others": 1}
    for part, split in enumerate(("train", "test")):
        for number, (product, n_photos) in enumerate(products.items()):
            for count in range(n_photos):
                path = root / "rp2k_dataset" / "all" / split / product / f"{count}.jpg"
                photo(path, 100 * part + 10 * number + count)
        (root / "rp2k_dataset" / "all" / split / "empty").mkdir()
        (root / "rp2k_dataset" / "all" / split / "Thumbs.db").write_bytes(b"no photo")


MAKERS: Mapping[str, Callable[[Path, str], None]] = {
    "products-10k": products_10k,
    "stanford-online-products": stanford_online_products,
    "deepfashion-in-shop": deepfashion_in_shop,
    "deepfashion-consumer-to-shop": deepfashion_consumer_to_shop,
    "grocery-store": grocery_store,
    "rp2k": rp2k,
}
"""By the name of the layout: writes a tree into a folder, its lists with the given line end."""
