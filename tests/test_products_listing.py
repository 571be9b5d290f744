"""How a search lists what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shoplens
from shoplens import Encoder, Hit, View
from shoplens.errors import RankingError
from shoplens.products.duplicates import collapse
from shoplens.products.listing import Listing

PHOTOS = (
    (1, "chair-red", 0.9),
    (2, "lamp", 0.8),
    (3, "lamp", 0.78),
    (4, "chair-blue", 0.7),
    (5, None, 0.6),
    (6, "chair-red", 0.1),
)


def hits(**attributes: Mapping[int, str]) -> list[Hit]:
    return [
        Hit(
            0, number, product, score, f"{number}.jpg",
            attributes={
                name: values[number] for name, values in attributes.items() if number in values
            },
        )
        for number, product, score in PHOTOS
    ]  # fmt: skip


def views(product_ids: Sequence[str]) -> dict[str, list[View]]:
    return {
        product: [View(n, score, f"{n}.jpg") for n, own, score in PHOTOS if own == product]
        for product in product_ids
    }


def listed(listing: Listing, found: Sequence[Hit]) -> tuple[Hit, ...]:
    return listing.finished(listing.chosen(found, views, {}), views)


def photos_of(hit: Hit) -> list[int | str]:
    return [view.photo_id for view in hit.photos or ()]


def test_products_by_their_best_photos() -> None:
    found = listed(Listing.of(3, group_by="product"), hits())
    assert [(h.rank, h.photo_id, h.product_id) for h in found] == [
        (1, 1, "chair-red"), (2, 2, "lamp"), (3, 4, "chair-blue"),
    ]  # fmt: skip
    assert [photos_of(hit) for hit in found] == [[1, 6], [2, 3], [4]]
    assert {hit.product_score for hit in found} == {None}


def test_products_by_the_mean_of_two_photos() -> None:
    found = listed(Listing.of(9, group_by="product", product_score="mean2"), hits())
    assert [hit.product_id for hit in found] == ["lamp", "chair-blue", None, "chair-red"]
    assert [hit.product_score for hit in found] == pytest.approx([0.79, 0.7, 0.6, 0.5])
    # The score stays that of the best photo.
    assert [hit.score for hit in found] == [0.8, 0.7, 0.6, 0.9]
    assert found[0].to_json()["product_score"] == found[0].product_score


def test_photos_that_were_not_found_count_in_a_products_score() -> None:
    found = listed(Listing.of(9, group_by="product", product_score="mean2"), hits()[:-1])
    assert found[-1].product_id == "chair-red"
    assert found[-1].product_score == pytest.approx(0.5)


def test_variants_by_their_ids() -> None:
    found = listed(Listing.of(9, group_by="product", variants="id:-"), hits())
    assert [hit.product_id for hit in found] == ["chair-red", "lamp", None]
    assert found[0].variants == ("chair-red", "chair-blue")
    assert photos_of(found[0]) == [1, 4, 6]
    assert found[1].variants == ("lamp",)
    assert found[2].variants == ()
    assert photos_of(found[2]) == [5]
    assert found[0].to_json()["variants"] == ["chair-red", "chair-blue"]


def test_variants_by_an_attribute() -> None:
    found = listed(
        Listing.of(9, group_by="product", variants="style"),
        hits(style={2: "s1", 3: "s1", 4: "s1"}),
    )
    assert [hit.variants for hit in found] == [("chair-red",), ("lamp", "chair-blue"), ()]
    assert photos_of(found[1]) == [2, 3, 4]


def test_same_pictures_are_one_hit() -> None:
    towards = np.eye(4, dtype=np.float32)
    near = towards[0] * np.float32(0.99) + towards[3] * np.float32(np.sqrt(1 - 0.99**2))
    vectors = {1: towards[0], 2: towards[1], 3: near, 4: towards[2], 5: near, 6: towards[3]}
    found = collapse(hits(), vectors, 9)
    assert [hit.photo_id for hit in found] == [1, 2, 4, 6]
    assert [hit.photo_id for hit in found[0].duplicates or ()] == [3, 5]
    assert found[1].duplicates == ()
    assert found[0].to_json()["duplicates"][1] == {
        "photo_id": 5, "product_id": None, "score": 0.6, "path": "5.jpg",
    }  # fmt: skip
    # The further ones are those of the hits that are listed.
    assert collapse(hits(), vectors, 2) == found[:2]
    assert len(collapse(hits(), vectors, 9, similarity=0.995)) == 5
    assert collapse([], {}, 9) == []


def test_a_picture_that_another_seller_uses(sample: Path, encoder: Encoder, tmp_path: Path) -> None:
    """A photo of the sample, saved again as a JPEG, is found once."""
    first, other, *_ = sorted((sample / "gallery").glob("*.jpg"))
    rows = ["seller_img_id,img_path,product_id"]
    for number, (file, product) in enumerate([(first, "a"), (first, "copy"), (other, "b")]):
        with Image.open(file) as image:
            image.save(tmp_path / f"{number}.jpg", quality=95 if product == "copy" else 98)
        rows.append(f"{number},{number}.jpg,{product}")
    (tmp_path / "gallery.csv").write_text("\n".join(rows) + "\n")
    found = shoplens.search(
        first, tmp_path, group_by="product", collapse=True, encoder=encoder, cache=False
    )
    assert {hit.product_id for hit in found} in ({"a", "b"}, {"copy", "b"})
    [copy] = found[0].duplicates or ()
    assert {found[0].product_id, copy.product_id} == {"a", "copy"}


def test_collapsed_products() -> None:
    vectors = {number: np.eye(8, dtype=np.float32)[number] for number in range(7)}
    vectors[4] = vectors[1]
    listing = Listing.of(9, group_by="product", collapse=True)
    found = listing.finished(listing.chosen(hits(), views, vectors), views)
    assert [hit.product_id for hit in found] == ["chair-red", "lamp", None]
    assert [hit.product_id for hit in found[0].duplicates or ()] == ["chair-blue"]
    vectors[4] = vectors[1] * 0.6 + vectors[0] * 0.8
    for at, n in ((True, 4), (0.5, 3), (0.7, 4)):
        listing = Listing.of(9, group_by="product", collapse=at)
        assert len(listing.chosen(hits(), views, vectors)) == n


def test_when_enough_photos_were_looked_at() -> None:
    listing = Listing.of(2, group_by="product", product_score="mean2")
    chosen = listing.chosen(hits()[:4], views, {})
    assert [hit.product_score for hit in chosen] == pytest.approx([0.79, 0.7])
    assert listing.is_settled(chosen, 0.7)
    assert not listing.is_settled(chosen, 0.75)
    assert not listing.is_settled(chosen[:1], 0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"k": 0},
        {"k": 1, "group_by": "colour"},
        {"k": 1, "product_score": "best"},
        {"k": 1, "variants": "style"},
        {"k": 1, "group_by": "product", "product_score": "worst"},
        {"k": 1, "group_by": "product", "variants": ""},
        {"k": 1, "group_by": "product", "variants": "id:"},
        {"k": 1, "collapse": 0.0},
        {"k": 1, "collapse": 1.5},
        {"k": 1, "collapse": float("nan")},
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(RankingError):
        Listing.of(**arguments)  # type: ignore[arg-type]
