"""What the tests of the extra [ray] share: a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import slow_photos
from ray.cluster_utils import Cluster

TESTS = Path(__file__).parents[1] / "tests"

# Models and pictures are made as for the other tests.
_spec = importlib.util.spec_from_file_location("core_conftest", TESTS / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
core = importlib.util.module_from_spec(_spec)
sys.modules["core_conftest"] = core
_spec.loader.exec_module(core)

make_dataset, make_model = core.make_dataset, core.make_model
# Workers do not find this folder; what is defined in it travels by value.
ray.cloudpickle.register_pickle_by_value(slow_photos)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start a cluster of two nodes of one core each, and connect to it."""
    head = {"num_cpus": 1, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> core.Run:
    """Run the command line in a process of its own, on the cluster.

    While a process is connected, Ray prints what happens to a machine to its standard output, at
    any time. This process is connected throughout, and the command only while it embeds.
    """
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)

    def run(*words: object) -> core.Result:
        done = subprocess.run(
            [sys.executable, "-m", "shoplens", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )
        return core.Result(done.returncode, done.stdout, done.stderr)

    return run
