"""How layers answer requests that they do not pass on."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from shoplens.server.problems import Problem


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem. Its code goes to the log and the metrics."""
    state = scope.setdefault("state", {})
    state["problem"] = problem.code
    await problem.response(state.get("request_id"))(scope, receive, send)
