"""Log lines: JSON for machines, text for a terminal, each with the id of its request.

They hold no photos, no names of uploaded files, no filters and no keys.
"""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from typing import Any, Literal

import msgspec

NAME = "shoplens.server"
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is worked on."""

_FIELDS = "fields"


def log_event(event: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Log that something happened, with facts by name."""
    logging.getLogger(NAME).log(level, event, extra={_FIELDS: fields})


def start_logging(form: Literal["auto", "json", "text"]) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(TextLines() if as_text else JsonLines())
    for name, level in ((NAME, logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = dict(getattr(record, _FIELDS, {}))
    if (request_id := REQUEST_ID.get()) is not None:
        facts.setdefault("request_id", request_id)
    return facts


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextLines(logging.Formatter):
    """A line to read."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line; a traceback follows on lines of its own."""
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment} {record.levelname.lower()} {record.getMessage()} {facts}".rstrip()
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
        return f"{shown}\n{self.formatException(record.exc_info)}" if record.exc_info else shown
