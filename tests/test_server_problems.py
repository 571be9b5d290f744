"""Errors as problem documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT
from made_shops import make_shop, serving

from shoplens.errors import (
    CatalogBusyError,
    CatalogError,
    DataError,
    FilterError,
    MissingError,
    ModelError,
    PhotoError,
    ShoplensError,
)
from shoplens.records import REASONS
from shoplens.server.overload import DeadlineError, OverloadedError
from shoplens.server.problems import KINDS, MEDIA_TYPE, Problem, problem_answers, problem_of


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (FilterError("a b", 2, "expected ="), "bad_filter", 400),
        (PhotoError("bad_box", "x"), "bad_box", 400),
        (PhotoError("outside_box", "x"), "bad_box", 400),
        (PhotoError("too_large", "x"), "photo_too_large", 413),
        (PhotoError("truncated", "x"), "unsupported_photo", 422),
        (MissingError("x"), "not_found", 404),
        (CatalogBusyError("x"), "catalog_busy", 409),
        (ModelError("x"), "model_mismatch", 409),
        (CatalogError("x"), "catalog_unavailable", 503),
        (DataError("x"), "bad_request", 400),
        (ShoplensError("x"), "bad_request", 400),
        (OverloadedError("x"), "overloaded", 429),
        (DeadlineError("x"), "timeout", 503),
        (ZeroDivisionError("x"), "internal", 500),
    ],
)
def test_each_error_of_the_library_has_its_problem(
    error: Exception, code: str, status: int
) -> None:
    problem = problem_of(error)
    assert (problem.code, problem.status) == (code, status)


def test_a_document_says_all() -> None:
    problem = problem_of(FilterError("a b", 2, "expected ="))
    assert problem.to_json("id") == {
        "type": "about:blank",
        "title": KINDS["bad_filter"].title,
        "status": 400,
        "detail": "expected =",
        "code": "bad_filter",
        "request_id": "id",
        "position": 2,
    }
    response = problem.response("id")
    assert response.status_code == 400
    assert response.headers["content-type"] == MEDIA_TYPE
    assert json.loads(bytes(response.body)) == problem.to_json("id")


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_photo_is_answered_as_the_clients_fault(reason: str) -> None:
    problem = problem_of(PhotoError(reason, "x"))
    assert 400 <= problem.status < 500
    assert problem.members == {"reason": reason}


def test_nothing_of_this_machine_is_told() -> None:
    secret = "/srv/shop/catalog"
    for error in (CatalogError(secret), CatalogBusyError(secret), ValueError(secret)):
        assert secret not in json.dumps(problem_of(error).to_json(None))


def test_a_problem_stays_what_it_is() -> None:
    problem = Problem("overloaded", "x", headers={"Retry-After": "1"}, status=503)
    assert problem_of(problem) is problem
    assert problem.response(None).headers["retry-after"] == "1"
    assert problem.response(None).status_code == 503


def test_the_description_groups_codes_by_status() -> None:
    answers = problem_answers("bad_box", "bad_filter", "timeout")
    assert set(answers) == {400, 503, 500, "default"}
    examples = answers[400]["content"][MEDIA_TYPE]["examples"]
    assert {name: one["value"]["code"] for name, one in examples.items()} == {
        "bad_box": "bad_box", "bad_filter": "bad_filter",
    }  # fmt: skip


def test_the_guide_lists_every_code_with_its_status() -> None:
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", page, re.MULTILINE))
    assert listed == {code: str(kind.status) for code, kind in KINDS.items()}


def test_a_method_that_a_path_does_not_have_is_told_which_it_has(tmp_path: Path) -> None:
    with serving(make_shop(tmp_path)) as client:
        answer = client.patch("/v1/catalog/photos/1")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, PUT, DELETE"
