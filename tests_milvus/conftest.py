"""What the tests of a catalogue on a Milvus server share; `python3 make.py milvus` starts one."""

from __future__ import annotations

import importlib.util
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDRESS = os.environ.get("SHOPLENS_MILVUS", "")
if not ADDRESS:
    raise pytest.UsageError("these tests need a server: python3 make.py milvus")

# Entries and a plain model of a catalogue, as the tests of all engines have them.
sys.path.insert(0, str(ROOT / "tests"))
_spec = importlib.util.spec_from_file_location("milvus_server", ROOT / "scripts/milvus_server.py")
assert _spec is not None
assert _spec.loader is not None
milvus_server = importlib.util.module_from_spec(_spec)
sys.modules["milvus_server"] = milvus_server
_spec.loader.exec_module(milvus_server)

from pymilvus import MilvusClient  # noqa: E402


@pytest.fixture(scope="session")
def client() -> Iterator[MilvusClient]:
    """Return the server's own client, for what the catalogue does not show."""
    made = MilvusClient(f"http://{ADDRESS}")
    yield made
    made.close()


@pytest.fixture
def uri(client: MilvusClient) -> Iterator[str]:
    """Return the URI of a catalogue that is not there yet."""
    name = f"test_{uuid.uuid4().hex}"
    yield f"milvus://{ADDRESS}/{name}"
    for collection in client.list_collections():
        if collection.startswith(name):
            client.drop_collection(collection)


@pytest.fixture
def server() -> milvus_server.MilvusServer:
    """Return the server, to be killed and started again."""
    folder = Path(os.environ["SHOPLENS_MILVUS_FOLDER"])
    return milvus_server.MilvusServer(folder, os.environ["SHOPLENS_MILVUS_PYTHON"])
