"""What explanations answer, described for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shoplens.server.schemas import example


class MatchedRegionAnswer(BaseModel):
    """How much each place of a photo has to do with the match."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    width: int
    """Of the upright photo, in pixels."""
    height: int
    box: str
    """What the map covers: `x,y,w,h` in pixels of the upright photo."""
    heat: list[list[float]]
    """24 rows of 24 places, 0..1, from the top left corner of the box; the hottest has 1."""


class ExplainAnswer(BaseModel):
    """Which regions of a query and of a result match."""

    model_config = example(
        {
            "query": {
                "width": 1000,
                "height": 750,
                "box": "212,96,530,584",
                "heat": [[0.0, 0.12], [0.4, 1.0]],
            },
            "result": {"width": 640, "height": 640, "box": "0,0,640,640", "heat": [[0.1, 1.0]]},
        }
    )

    query: MatchedRegionAnswer
    result: MatchedRegionAnswer
    request_id: str
