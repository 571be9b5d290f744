"""What the OpenAPI document promises, tried with made requests, those that break it too.

A few for each operation here; `SHOPLENS_FUZZ_EXAMPLES=1000 python -m pytest
tests/test_server_fuzz_api.py` makes more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)
from server_process import ServerProcess
from toy_service import toy_service

from shoplens.server.application import create_app
from shoplens.server.settings import ServerSettings

N_EXAMPLES = int(os.environ.get("SHOPLENS_FUZZ_EXAMPLES", "15"))
NOT_CHECKED = [
    # Schemas cannot say that a filter has to be a filter, or that a box has to be in its photo.
    positive_data_acceptance,
    # Forms hold nothing but texts, so a 0 is taken for false, in JSON too.
    negative_data_rejection,
    # Without a file of keys, whoever reaches the server may use it.
    ignored_auth,
]

schema = schemathesis.openapi.from_dict(create_app(ServerSettings(catalog="none")).openapi())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with toy_service(tmp_path_factory.mktemp("service")) as server:
        yield server


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@schema.parametrize()
@settings(max_examples=N_EXAMPLES, suppress_health_check=list(HealthCheck))
def test_an_operation(
    case: schemathesis.Case, server: ServerProcess, session: requests.Session
) -> None:
    response = case.call(base_url=server.url, session=session, timeout=60)
    case.validate_response(response, excluded_checks=NOT_CHECKED)
    assert not [line for line in server.lines if "Traceback" in line]
