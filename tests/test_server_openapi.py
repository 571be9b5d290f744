"""The description of the API is complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from shoplens.server.application import create_app
from shoplens.server.problems import KINDS, MEDIA_TYPE
from shoplens.server.settings import ServerSettings

DOCUMENT = create_app(ServerSettings(catalog="nowhere")).openapi()


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, by_method in DOCUMENT["paths"].items():
        for method, operation in by_method.items():
            yield f"{method.upper()} {path}", operation


OPERATIONS = dict(operations())


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        _, _, kind, name = schema["$ref"].split("/")
        schema = DOCUMENT["components"][kind][name]
    return schema


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_explained(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["description"].endswith(".")
    assert operation["operationId"].isidentifier()
    assert operation["tags"]


def test_the_names_of_operations_are_unique() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_an_answer_with_an_example(name: str) -> None:
    [answer] = [a for status, a in OPERATIONS[name]["responses"].items() if status < "300"]
    for media_type, content in answer.get("content", {}).items():
        if media_type == "application/json":
            schema = resolved(content["schema"])
            assert schema.get("examples") or content.get("example") or content.get("examples")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_lists_its_problems_with_examples(name: str) -> None:
    responses = OPERATIONS[name]["responses"]
    assert "default" in responses
    problems = {s: r for s, r in responses.items() if s.isdigit() and s >= "400"}
    assert "500" in problems
    assert "422" not in problems or "examples" in problems["422"]["content"][MEDIA_TYPE]
    for status, answer in problems.items():
        content = answer["content"][MEDIA_TYPE]
        assert resolved(content["schema"])["title"] == "ProblemDocument"
        for code, example in content["examples"].items():
            assert example["value"]["code"] == code
            assert example["value"]["status"] == KINDS[code].status == int(status)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name[:4] in ("POST", "PUT ")])
def test_an_operation_that_takes_a_body_shows_one(name: str) -> None:
    body = OPERATIONS[name].get("requestBody")
    if body is None:
        return
    for media_type, content in body["content"].items():
        schema = resolved(content["schema"])
        assert schema["properties"]
        if media_type == "application/json":
            assert content.get("example") or content.get("examples") or schema.get("examples")


def test_all_references_lead_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolved({"$ref": reference})


def test_the_examples_of_searches_are_searches() -> None:
    from shoplens.server.query_schemas import BatchRequest, SearchRequest

    for path, model in (("/v1/search", SearchRequest), ("/v1/search/batch", BatchRequest)):
        content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            value = {**example["value"]}
            if "photo" in value:
                value["photo"] = "aGVsbG8="  # The example shows only how it begins.
            TypeAdapter(model).validate_python(value)
