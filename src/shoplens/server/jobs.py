"""Work on the catalogue that takes long: it goes on after the request that began it is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any, Literal

from shoplens.errors import ShoplensError
from shoplens.progress import Progress
from shoplens.server.logs import log_event
from shoplens.server.problems import Problem, problem_of

State = Literal["none", "running", "done", "failed"]
"""`none`: it was not begun since the server started."""


class Job:
    """One kind of work. It is done once at a time.

    Args:
        name: what it is called in the log.
        work: does it, tells its progress, and returns JSON.
    """

    def __init__(self, name: str, work: Callable[[Progress], Awaitable[dict[str, Any]]]) -> None:
        self._name = name
        self._work = work
        self._state: State = "none"
        self._task: asyncio.Task[None] | None = None
        self._began: datetime | None = None
        self._ended: datetime | None = None
        self._progress: dict[str, Any] | None = None
        self._result: dict[str, Any] | None = None
        self._detail: str | None = None

    def start(self) -> None:
        """Begin, unless it is under way."""
        if self._state != "running":
            self._state, self._began, self._ended = "running", datetime.now(timezone.utc), None
            self._progress = self._result = self._detail = None
            self._task = asyncio.create_task(self._run())

    def to_json(self) -> dict[str, Any]:
        """Return how it stands."""
        return {
            "state": self._state,
            "began": None if self._began is None else self._began.isoformat(timespec="seconds"),
            "ended": None if self._ended is None else self._ended.isoformat(timespec="seconds"),
            "progress": self._progress,
            "result": self._result,
            "detail": self._detail,
        }

    async def _run(self) -> None:
        try:
            self._result = await self._work(self._tell)
            self._state = "done"
        except (Problem, ShoplensError) as error:
            self._state, self._detail = "failed", problem_of(error).detail
        except Exception as error:
            self._state, self._detail = "failed", problem_of(error).detail
        finally:
            if self._state == "running":
                self._state = "failed"  # The server is being stopped.
            self._ended = datetime.now(timezone.utc)
            level = logging.ERROR if self._state == "failed" else logging.INFO
            log_event(self._name, level, state=self._state, detail=self._detail)

    def _tell(self, stage: str, done: int, total: int) -> None:
        self._progress = {"stage": stage, "done": done, "total": total}
