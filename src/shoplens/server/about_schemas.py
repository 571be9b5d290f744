"""What the server says of itself, described for OpenAPI."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from shoplens.server.schemas import StampAnswer, example


class LoadedModelAnswer(StampAnswer):
    """The model that embeds queries."""

    input_size: int
    """Side in pixels of the largest square that it is shown."""


class ModelsAnswer(BaseModel):
    """The model at work."""

    model_config = example(
        {
            "model": {
                "name": "lite0-lite2-products",
                "fingerprint": "24ee24c6b8905507",
                "dimension": 512,
                "input_size": 448,
            },
            "version": "0.1.0",
        }
    )

    model: LoadedModelAnswer | None
    version: str
    """Of shoplens."""


class PageSettingsAnswer(BaseModel):
    """What the page needs to know."""

    model_config = example(
        {
            "title": "shoplens",
            "max_upload_bytes": 20000000,
            "max_pixels": 89478485,
            "max_k": 1000,
            "keys_required": False,
            "read_only": False,
            "urls": False,
            "attributes": {"category": "str", "price": "float"},
        }
    )

    title: str
    max_upload_bytes: int
    max_pixels: int
    max_k: int
    keys_required: bool
    read_only: bool
    urls: bool
    attributes: dict[str, str]


class StatusAnswer(BaseModel):
    """How the server is."""

    model_config = example({"status": "ready"})

    status: Literal["alive", "ready"]
