"""What proposals of boxes answer, described for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shoplens.server.schemas import example


class BoxAnswer(BaseModel):
    """A box that may hold the product."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    box: str
    """`x,y,w,h` in pixels of the upright photo."""
    score: float
    """0..1, higher is better. It compares boxes of one photo."""


class BoxesAnswer(BaseModel):
    """Boxes that are proposed, the best first. There is always one."""

    model_config = example(
        {
            "width": 1000,
            "height": 750,
            "boxes": [
                {"box": "212,96,530,584", "score": 0.81},
                {"box": "0,60,410,420", "score": 0.37},
            ],
        }
    )

    width: int
    """Of the upright photo, in pixels."""
    height: int
    boxes: list[BoxAnswer]
    photo_token: str | None = None
    """What searches may name the photo by for a while; null if it is not kept. Given if it was
    asked for."""
