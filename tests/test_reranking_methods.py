"""What holds of every re-ranking method, whatever it does."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from made_rankings import only, shop

from shoplens.errors import RankingError
from shoplens.reranking import METHODS, Chain, Cost, Ranked, Reranker, parse_chain

ON_VECTORS = [method for method in METHODS if not method.reads_photos]
GALLERY_SIDE = [method for method in ON_VECTORS if not method.batch_side]


def names(method: type[Reranker]) -> str:
    return method.name


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
@pytest.mark.parametrize("depth", [1000, 30])
def test_rows_hold_each_photo_once_and_scores_descend(method: type[Reranker], depth: int) -> None:
    before = shop(depth=depth)
    after = Chain((method(),)).rerank(before).ranking
    assert after.ids.shape == before.ranking.ids.shape
    assert after.ids.dtype == np.int32
    assert after.scores is not None
    assert after.scores.dtype == np.float32
    assert (np.diff(after.scores, axis=1) <= 0).all()
    for row in after.ids.tolist():
        assert len(set(row)) == len(row)
    assert set(after.ids.ravel().tolist()) <= set(before.gallery.ids.tolist())


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_the_ranking_tells_what_was_done(method: type[Reranker]) -> None:
    after = Chain((method(),)).rerank(shop()).ranking
    assert after.chain == ("exact", str(method()))
    assert after.batch_side is method.batch_side
    assert after.seconds["rerank"] >= 0
    assert (after.model_name, after.fingerprint) == ("made", "f00d")


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_what_was_given_stays_as_it_was(method: type[Reranker]) -> None:
    before = shop()
    kept = [before.ranking.ids, before.scores, before.queries.vectors, before.gallery.vectors]
    copies = [array.copy() for array in kept]
    method().rerank(before)
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_photos_without_a_vector_come_last_in_gallery_order(method: type[Reranker]) -> None:
    before = shop(failed=[7, 3], failed_queries=[2])
    after = method().rerank(before)
    usable = [row for row in range(len(before.queries)) if row != 2]
    np.testing.assert_array_equal(after.ranking.ids[usable, -2:], [[3, 7]] * len(usable))
    assert np.isneginf(after.scores[usable, -2:]).all()
    assert np.isfinite(after.scores[usable, :-2]).all()
    np.testing.assert_array_equal(after.ranking.ids[2], before.gallery.ids)
    assert np.isneginf(after.scores[2]).all()


@pytest.mark.parametrize("method", GALLERY_SIDE, ids=names)
@pytest.mark.parametrize("depth", [1000, 30])
def test_gallery_side_a_query_alone_gets_the_answer_of_the_batch(
    method: type[Reranker], depth: int
) -> None:
    batch = shop(depth=depth, dimension=67, failed=[5])
    together = method().rerank(batch)
    for row in range(len(batch.queries)):
        alone = method().rerank(only(batch, [row]))
        np.testing.assert_array_equal(alone.ranking.ids[0], together.ranking.ids[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])


@pytest.mark.parametrize("method", GALLERY_SIDE, ids=names)
def test_gallery_side_the_order_of_the_queries_changes_nothing(method: type[Reranker]) -> None:
    batch = shop()
    turned = list(range(len(batch.queries)))[::-1]
    np.testing.assert_array_equal(
        method().rerank(only(batch, turned)).ranking.ids,
        method().rerank(batch).ranking.ids[turned],
    )


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
@pytest.mark.parametrize("n_gallery", [1, 2])
def test_a_gallery_of_one_or_two_photos_is_enough(method: type[Reranker], n_gallery: int) -> None:
    before = shop(n_products=1, views=n_gallery, n_queries=1)
    after = method().rerank(before)
    assert sorted(after.ranking.ids[0].tolist()) == list(range(n_gallery))


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_no_queries_give_no_rows(method: type[Reranker]) -> None:
    after = method().rerank(only(shop(), []))
    assert after.ranking.ids.shape == (0, 80)


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_a_method_needs_products_as_it_says(method: type[Reranker]) -> None:
    made = shop()
    bare = replace(made, gallery=replace(made.gallery, photos=None))
    if method.needs_products:
        with pytest.raises(RankingError, match=f"{method.name} needs the products"):
            method().rerank(bare)
    else:
        method().rerank(bare)


@pytest.mark.parametrize("method", ON_VECTORS, ids=names)
def test_a_gallery_without_a_vector_stays_as_it_is(method: type[Reranker]) -> None:
    made = shop(2, views=2, failed=range(4))
    after = method().rerank(made)
    np.testing.assert_array_equal(after.ranking.ids, made.ranking.ids)
    assert np.isneginf(after.scores).all()


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_a_method_says_what_it_is_and_what_it_costs(method: type[Reranker]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", method.name)
    assert method.name not in ("none", "auto")
    assert method.about
    assert re.search(r"(19|20)\d\d", method.paper)
    assert inspect.getdoc(method)
    cost = method().cost(shop())
    assert cost.seconds >= 0
    assert re.match(r"(about [0-9,]+ s|under a second), [0-9,]+ MB", str(cost))


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_its_cost_is_known_before_there_is_a_ranking(method: type[Reranker]) -> None:
    made = shop()
    cost = method().cost(replace(made, ranking=replace(made.ranking, seconds={})))
    assert method().cost(Ranked.sized(15, 80, 16)) == cost
    assert cost.times(3) == Cost(3 * cost.seconds, cost.megabytes, 3 * cost.photos)
    assert method().cost(Ranked.sized(2, 0, 16)).photos == 0


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_its_text_is_read_again_as_the_same(method: type[Reranker]) -> None:
    assert parse_chain(str(method())) == Chain((method(),))


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_the_docs_list_it_with_its_parameters(method: type[Reranker]) -> None:
    page = (ROOT / "docs" / "reranking.md").read_text(encoding="utf-8")
    side = "batch-side" if method.batch_side else "gallery-side"
    given = ", ".join(f"`{one.name}` {one.default:g}" for one in method.parameters())
    assert f"| `{method.name}` | {side} | {given} |" in page


def test_names_are_used_once() -> None:
    assert len({method.name for method in METHODS}) == len(METHODS)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    made = shop()
    with pytest.raises(RankingError, match="other queries"):
        Ranked(made.ranking, only(made, [0]).queries, made.gallery)
