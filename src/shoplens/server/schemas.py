"""What several schemas are made of, checked and described for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictInt, StrictStr

Scalar = bool | int | float | str | None


def example(value: Any, extra: Literal["ignore", "allow"] = "ignore") -> ConfigDict:
    """Return the configuration of an answer's model, with an example for OpenAPI."""
    return ConfigDict(
        use_attribute_docstrings=True, extra=extra, json_schema_extra={"examples": [value]}
    )


def _photo_id(value: int | str) -> int | str:
    if value == "" or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise ValueError("a photo's id is a text, or a whole number of 64 bits")
    return value


PhotoIdField = Annotated[StrictInt | StrictStr, AfterValidator(_photo_id)]


class FacetAnswer(BaseModel):
    """How many photos have a value."""

    value: Scalar
    count: int


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    """Stable: what a program tells errors apart by."""
    request_id: str | None


class StampAnswer(BaseModel):
    """The model of the catalogue's vectors."""

    name: str
    fingerprint: str
    dimension: int
