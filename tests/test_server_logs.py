"""Log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from shoplens.server.logs import NAME, REQUEST_ID, log_event, start_logging

Log = Callable[[], str]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """Return what was logged; the loggers are put back in the end."""
    loggers = [logging.getLogger(name) for name in (NAME, "uvicorn.error")]
    before = [(one, one.handlers, one.level, one.propagate) for one in loggers]
    yield lambda: capsys.readouterr().err
    for one, handlers, level, propagate in before:
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


def test_a_line_is_a_json_object_with_the_id_of_its_request(log: Log) -> None:
    start_logging("auto")
    token = REQUEST_ID.set("abc")
    log_event("request", status=200, path="/v1/photos/ü\n")
    REQUEST_ID.reset(token)
    log_event("model", logging.ERROR, name="toy")
    first, second = (json.loads(line) for line in log().splitlines())
    assert first["time"].endswith("Z")
    assert first["level"] == "info"
    assert (first["event"], first["status"], first["request_id"]) == ("request", 200, "abc")
    assert first["path"] == "/v1/photos/ü\n"
    assert (second["level"], second["name"]) == ("error", "toy")
    assert "request_id" not in second


def test_a_line_of_text_cannot_steer_a_terminal(log: Log) -> None:
    start_logging("text")
    log_event("request", path="/\x1b[31m\nx")
    assert log().endswith("info request path=/\\x1b[31m\\nx\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_is_kept(log: Log, form: str) -> None:
    start_logging(form)  # type: ignore[arg-type]
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger(NAME).exception("unexpected")
    assert "ZeroDivisionError" in log()


def test_what_the_http_server_says_is_logged_only_if_it_matters(log: Log) -> None:
    start_logging("json")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    [line] = log().splitlines()
    assert json.loads(line)["event"] == "Invalid HTTP request received."
