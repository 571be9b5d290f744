"""The description of the API at /openapi.json: what FastAPI does not learn from our routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shoplens.server.catalog_schemas import DeleteRequest
from shoplens.server.query_schemas import BatchRequest, ExplainRequest, SearchRequest
from shoplens.server.schemas import ProblemDocument

_REFERENCE = "#/components/schemas/{model}"
_READ_BY_US: tuple[type[BaseModel], ...] = (
    SearchRequest,
    BatchRequest,
    ExplainRequest,
    DeleteRequest,
)
"""Bodies that routes read themselves, after the key: to one path both forms and JSON may go."""


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation in programs that are made of the description."""
    return route.name


def request_body(
    model: type[BaseModel], examples: Mapping[str, Any], form: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a route that reads its body itself adds to its description.

    Args:
        model: the JSON.
        examples: JSON bodies, by what they do.
        form: an example of the same as a form with the file `photo`; None where there is none.
    """
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    named = {name: {"value": value} for name, value in examples.items()}
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": named}}
    if form is not None:
        as_form = model.model_json_schema(ref_template=_REFERENCE)
        as_form["properties"]["photo"] = {
            "type": "string",
            "format": "binary",
            "description": "The file of a photo.",
        }
        content["multipart/form-data"] = {"schema": as_form, "example": form}
    return {"requestBody": {"required": True, "content": content}}


def install_description(app: FastAPI) -> None:
    """Let an application describe all that its routes read."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            models = [(model, "validation") for model in (*_READ_BY_US, ProblemDocument)]
            _, defined = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
            document["components"]["schemas"].update(defined["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
