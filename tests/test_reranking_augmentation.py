from __future__ import annotations

import numpy as np
import pytest
from made_rankings import at, embeddings, mean_precision, ranked, shop

from shoplens.errors import RankingError
from shoplens.reranking.augmentation import NeighbourAugmentation, ProductAugmentation


def degrees(vectors: np.ndarray) -> list[float]:
    return np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])).round(2).tolist()


def test_the_worked_example_of_augmentation_inside_products() -> None:
    """The example of docs/reranking.md: one product at 0 and 40 degrees, another at 30."""
    gallery = embeddings(at(0, 30, 40), ["lamp", "chair", "lamp"])
    before = ranked(embeddings(at(10), domain="user"), gallery)
    assert before.ranking.ids.tolist() == [[0, 1, 2]]
    after = ProductAugmentation(k=1, weight=1, alpha=0).rerank(before)
    assert degrees(after.gallery.vectors) == [20.0, 30.0, 20.0]
    assert after.ranking.ids.tolist() == [[0, 2, 1]]


def test_others_weigh_their_similarity_to_the_power_alpha() -> None:
    gallery = embeddings(at(0, 60), ["a", "a"])
    made = ranked(embeddings(at(0), domain="user"), gallery)
    after = ProductAugmentation(k=5, weight=0.5, alpha=2).rerank(made)
    # Each weighs 0.5 * cos(60)^2 = 0.125 in the other's mean.
    mean = at(0)[0] + 0.125 * at(60)[0]
    np.testing.assert_allclose(after.gallery.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_only_the_k_most_similar_of_a_product_are_averaged() -> None:
    gallery = embeddings(at(0, 10, 80), ["a", "a", "a"])
    made = ranked(embeddings(at(0), domain="user"), gallery)
    after = ProductAugmentation(k=1, weight=1, alpha=0).rerank(made)
    assert degrees(after.gallery.vectors) == [5.0, 5.0, 45.0]


def test_photos_without_a_product_stay_as_they_are() -> None:
    gallery = embeddings(at(0, 20, 40), ["a", None, "a"])
    made = ranked(embeddings(at(0), domain="user"), gallery)
    after = ProductAugmentation(k=1, weight=1, alpha=0).rerank(made)
    assert degrees(after.gallery.vectors) == [20.0, 20.0, 20.0]
    np.testing.assert_array_equal(after.gallery.vectors[1], gallery.vectors[1])


def test_products_that_are_not_known_are_asked_for() -> None:
    made = ranked(embeddings(at(0), domain="user"), embeddings(at(0, 1)))
    with pytest.raises(RankingError, match="product-dba needs the products"):
        ProductAugmentation().rerank(made)


def test_failed_photos_have_no_part_in_the_means() -> None:
    gallery = embeddings(at(0, 20, 40), ["a", "a", "a"], failed=[2])
    made = ranked(embeddings(at(0), domain="user"), gallery)
    after = ProductAugmentation(k=5, weight=1, alpha=0).rerank(made)
    assert degrees(after.gallery.vectors[:2]) == [10.0, 10.0]
    assert not after.gallery.vectors[2].any()


def test_the_worked_example_of_augmentation_by_neighbours() -> None:
    """The example of docs/reranking.md: photos at 0, 10 and 50 degrees."""
    made = ranked(embeddings(at(-10), domain="user"), embeddings(at(0, 10, 50)))
    after = NeighbourAugmentation(k=1, alpha=0).rerank(made)
    assert degrees(after.gallery.vectors) == [5.0, 5.0, 30.0]


def test_equal_photos_are_neighbours_of_each_other() -> None:
    made = ranked(embeddings(at(0), domain="user"), embeddings(at(20, 20, 90)))
    after = NeighbourAugmentation(k=1, alpha=0).rerank(made)
    assert degrees(after.gallery.vectors[:2]) == [20.0, 20.0]


def test_augmentation_finds_more_of_made_products() -> None:
    made = shop(n_products=60, views=6, n_queries=120, noise=0.8)
    before = mean_precision(made)
    assert mean_precision(ProductAugmentation().rerank(made)) > before
    assert mean_precision(NeighbourAugmentation().rerank(made)) > before
