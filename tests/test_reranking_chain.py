from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rankings import ranked, shop

import shoplens
from shoplens.errors import ChainError, RankingError
from shoplens.reranking import METHODS, Chain, Reranker, online_chain, parse_chain
from shoplens.reranking.augmentation import NeighbourAugmentation
from shoplens.reranking.expansion import AlphaExpansion, AverageExpansion


def test_steps_and_parameters_are_read() -> None:
    chain = parse_chain(" dba : k=3 + alpha-qe: k = 5 , alpha=2.5 ")
    assert chain == Chain((NeighbourAugmentation(k=3), AlphaExpansion(k=5, alpha=2.5)))


def test_parameters_that_are_not_given_have_their_defaults() -> None:
    assert parse_chain("aqe").steps == (AverageExpansion(),)


@pytest.mark.parametrize("text", ["none", " none "])
def test_none_is_no_step(text: str) -> None:
    assert parse_chain(text) == Chain()
    assert str(parse_chain(text)) == "none"


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "a method is expected here: aqe, "),
        ("aqe+", 4, "a method is expected here"),
        ("aqq", 0, "'aqq' is no method; did you mean aqe?"),
        ("dba + AQE", 6, "'AQE' is no method"),
        ("aqe,dba", 3, "a step is followed by + and the next step"),
        ("aqe dba", 4, "a step is followed by +"),
        ("none+aqe", 4, "stands alone"),
        ("aqe:", 4, "a parameter of aqe is expected here: k, gap"),
        ("aqe:n=2", 4, "'n' is no parameter of aqe; use k, gap"),
        ("aqe:k", 5, "k needs a value: k=2"),
        ("aqe:k=", 6, "k must be a number"),
        ("aqe:k=two", 6, "k must be a number"),
        ("aqe:k=2.5", 6, "k must be a whole number"),
        ("aqe:k=0", 6, "k must be between 1 and 1000"),
        ("aqe:gap=3", 8, "gap must be between 0 and 2"),
        ("aqe:gap=-1", 8, "gap must be between 0 and 2"),
        ("aqe:k=2,k=3", 8, "k is given twice"),
        ("aqe:k=2,", 8, "a parameter of aqe is expected here"),
        ("aqe:k=2x", 7, "a step is followed by +"),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int, problem: str) -> None:
    with pytest.raises(ChainError) as caught:
        parse_chain(text)
    assert problem in caught.value.problem
    assert caught.value.position == position
    assert caught.value.exit_code == 2
    if text:
        message, shown, marker = str(caught.value).splitlines()
        assert message == caught.value.problem
        assert shown == f"  {text}"
        assert marker == " " * (position + 2) + "^"


def test_the_error_survives_pickling() -> None:
    error = ChainError("aqq", 0, "no")
    again = pickle.loads(pickle.dumps(error))
    assert (again.text, again.position, str(again)) == ("aqq", 0, str(error))


@given(st.text(alphabet="aqe-dbk:=+,. 0123456789none", max_size=20))
def test_any_text_is_a_chain_or_a_pointed_error(text: str) -> None:
    try:
        chain = parse_chain(text)
    except ChainError as error:
        fault = error
    else:
        assert parse_chain(str(chain)) == chain
        return
    assert 0 <= fault.position <= len(text)


def random_step(data: st.DataObject) -> Reranker:
    method = data.draw(st.sampled_from(METHODS))
    values = {}
    for one in method.parameters():
        least, most = one.metadata["least"], one.metadata["most"]
        if one.type == "int":
            values[one.name] = data.draw(st.integers(least, most))
        else:
            values[one.name] = data.draw(st.floats(least, most))
    return method(**values)


@given(st.data())
def test_the_text_of_a_chain_is_read_as_the_same_chain(data: st.DataObject) -> None:
    chain = Chain(tuple(random_step(data) for _ in range(data.draw(st.integers(0, 3)))))
    assert parse_chain(str(chain)) == chain


def test_steps_follow_each_other_on_the_vectors_of_the_step_before() -> None:
    made = shop()
    first, second = NeighbourAugmentation(k=2), AverageExpansion(k=2)
    expected = second.rerank(first.rerank(made))
    chain = Chain((first, second))
    found = chain.rerank(made)
    assert found.ranking.ids.tolist() == expected.ranking.ids.tolist()
    assert found.ranking.chain == ("exact", str(first), str(second))


def test_progress_names_the_step() -> None:
    told: list[str] = []
    parse_chain("dba+aqe").rerank(shop(), progress=lambda stage, *_: told.append(stage))
    assert dict.fromkeys(told) == {"dba: neighbours": None, "dba: rank": None, "aqe: rank": None}


def test_rerank_takes_text_steps_and_bare_vectors() -> None:
    made = shop()
    expected = parse_chain("alpha-qe:k=2").rerank(made).ranking.ids.tolist()
    for chain in ("alpha-qe:k=2", AlphaExpansion(k=2), [AlphaExpansion(k=2)]):
        found = shoplens.rerank(made.ranking, made.queries, made.gallery, chain)
        assert found.ids.tolist() == expected
    bare = shoplens.rerank(made.ranking, made.queries.vectors, made.gallery, "alpha-qe:k=2")
    assert bare.ids.tolist() == expected


def test_a_ranking_without_scores_is_refused() -> None:
    made = shop()
    ids = shoplens.Ranking(made.ranking.query_ids, made.ranking.ids, None)
    with pytest.raises(RankingError, match="has no scores"):
        shoplens.rerank(ids, made.queries, made.gallery, "aqe")


def test_photos_that_the_gallery_does_not_have_are_refused() -> None:
    made = shop()
    other = ranked(made.queries, shop(n_products=30).gallery)
    with pytest.raises(RankingError, match="is not among the gallery's vectors"):
        shoplens.rerank(other.ranking, made.queries, made.gallery, "aqe")


def test_a_search_takes_gallery_side_chains() -> None:
    assert online_chain("aqe") == parse_chain("aqe")
    for method in METHODS:
        if method.batch_side:
            with pytest.raises(RankingError, match=f"{method.name} is batch-side"):
                online_chain(method.name)
