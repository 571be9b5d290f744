from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.training.config import Batch
from shoplens.training.photos import Product, TrainingPhoto
from shoplens.training.sampling import ProductSampler


def products(
    count: int, *, categories: int = 2, sellers: int = 2, repeat: int = 1
) -> list[Product]:
    made = []
    for number in range(count):
        key, category = f"made/{number}", f"made/{number % categories}"
        names = [
            (f"{key}-{domain}-{take}", domain)
            for domain, takes in (("user", 3), ("seller", sellers))
            for take in range(takes)
        ]
        photos = [
            TrainingPhoto(
                name, Path(name), "made", "user" if domain == "user" else "seller", key, category
            )
            for name, domain in names
        ]
        made.append(Product(key, "made", category, tuple(photos), repeat if number == 0 else 1))
    return made


@given(
    st.integers(2, 30), st.integers(2, 12), st.integers(2, 6), st.floats(0, 1), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_a_batch_has_p_products_with_k_views_each(
    count: int, p: int, k: int, look_alikes: float, step: int
) -> None:
    sampler = ProductSampler(
        products(count), Batch(products=p, views=k, look_alikes=look_alikes), seed=1
    )
    draws = sampler.batch(step)
    assert set(Counter(draw.label for draw in draws).values()) == {k}
    assert len({draw.label for draw in draws}) == min(p, count)
    users = Counter(draw.label for draw in draws if draw.as_domain == "user")
    assert set(users.values()) == {(k + 1) // 2}
    for draw in draws:
        assert draw.photo.product == f"made/{draw.label}"


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    settings = Batch(products=4, views=4)
    first, second = (ProductSampler(products(20), settings, seed=3) for _ in range(2))
    first.batch(0)
    assert first.batch(7) == second.batch(7)
    assert first.batch(7) != first.batch(8)
    assert first.batch(7) != ProductSampler(products(20), settings, seed=4).batch(7)


def test_look_alikes_fill_their_share_of_the_batch() -> None:
    sampler = ProductSampler(
        products(100, categories=10), Batch(products=10, views=2, look_alikes=0.5), seed=0
    )
    for step in range(20):
        kinds = Counter(draw.photo.category for draw in sampler.batch(step))
        assert max(kinds.values()) >= 2 * 5


def test_views_come_from_photos_of_their_domain_where_there_are_any() -> None:
    draws = ProductSampler(products(8), Batch(products=4, views=4), seed=0).batch(0)
    assert all(draw.photo.domain == draw.as_domain for draw in draws)
    draws = ProductSampler(products(8, sellers=0), Batch(products=4, views=4), seed=0).batch(0)
    assert {draw.photo.domain for draw in draws} == {"user"}
    assert {draw.as_domain for draw in draws} == {"user", "seller"}


def test_a_products_views_are_of_different_photos() -> None:
    for draw_step in range(10):
        draws = ProductSampler(products(8), Batch(products=4, views=4), seed=0).batch(draw_step)
        assert len({(draw.photo.name) for draw in draws}) == len(draws)


def test_repeated_products_are_drawn_more_often() -> None:
    sampler = ProductSampler(
        products(50, repeat=20), Batch(products=5, views=2, look_alikes=0), seed=0
    )
    seen = Counter(draw.label for step in range(200) for draw in sampler.batch(step))
    assert seen[0] > 5 * max(count for label, count in seen.items() if label)
    assert sampler.steps_per_epoch() == (49 + 20) // 5
