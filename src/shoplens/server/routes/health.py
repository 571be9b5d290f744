"""How the server is: for those who start it, balance load or draw graphs."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from shoplens.server.about_schemas import StatusAnswer
from shoplens.server.access import ACCESS_PROBLEMS, reading_metrics
from shoplens.server.metrics import Metrics
from shoplens.server.problems import problem_answers
from shoplens.server.routes.answers import JsonAnswer, service_of

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=StatusAnswer, responses=problem_answers())
async def healthz() -> JsonAnswer:
    """Say that the process is alive."""
    return JsonAnswer({"status": "alive"})


@router.get(
    "/readyz",
    response_model=StatusAnswer,
    responses=problem_answers("stopping", "catalog_unavailable"),
)
async def readyz(request: Request) -> JsonAnswer:
    """Say whether searches are answered: the catalogue and its model are open."""
    if (trouble := service_of(request).trouble()) is not None:
        raise trouble
    return JsonAnswer({"status": "ready"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {Metrics.media_type: {"schema": {"type": "string"}}}},
        **problem_answers(*ACCESS_PROBLEMS),
    },
    dependencies=[Depends(reading_metrics)],
)
async def metrics(request: Request) -> Response:
    """Return counters, gauges and histograms in Prometheus' text format."""
    metrics = service_of(request).metrics
    return Response(metrics.text(), media_type=metrics.media_type)
