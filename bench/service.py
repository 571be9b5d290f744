"""The service under load: one client, as many as it can serve, five times as many, and for long.

The server is a process as users start it, the load comes from this one, over loopback, on the same
cores. Photos and model are real, the vectors of the catalogue are made (`made_vectors.py`).
"""

from __future__ import annotations

import argparse
import io
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from urllib.parse import urlsplit

from catalog_photo import fill
from catalogues import numbered
from commands import fresh_folder
from end_to_end import bare_inference
from load import Load, closed_loop, open_loop, search_request
from measuring import SAMPLE, finish, table
from PIL import Image

from shoplens import Encoder, PhotoSet, embed, load_encoder, read_queries
from shoplens.catalog import ModelStamp, open_catalog
from shoplens.embedding.queries import query_photo

SIDE = 1000
"""Pixels of the longer side of a photo."""
BOX = "rel:0.1,0.1,0.8,0.8"
N_PHOTOS = 64
EMBEDDED = 256
"""Photos that the library embeds, for comparison."""
ONE_CLIENT = 200
"""Requests of the one client."""
CLIENTS = 8
"""Clients that keep the server busy, each with one request at a time."""
REQUESTS = 20_000
"""Of all clients together."""
OVERLOAD, OVERLOAD_SECONDS = 5, 20.0
FIRST = 2000
"""Requests after which memory is taken for settled."""
TARGETS = {"p50": 70.0, "share": 0.8, "p99": 2000.0, "start": 3.0}


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    host: str
    port: int
    start_seconds: float
    """From the start of the process until it was ready."""

    def memory_mb(self) -> dict[str, float]:
        """Return the memory of the server and its decoders, in 10^6 bytes: resident, and the share
        of it that is not mapped files."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        total = {"resident": 0.0, "own": 0.0}
        for one in (str(pid), *children):
            lines = Path(f"/proc/{one}/status").read_text(encoding="ascii").splitlines()
            values = dict(line.split(":", 1) for line in lines)
            for name, line in (("resident", "VmRSS"), ("own", "RssAnon")):
                total[name] += int(values[line].split()[0]) * 1024 / 1e6
        return total

    def is_ready(self) -> bool:
        """Whether it answers that it can search."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}/readyz") as answer:
            return bool(answer.status == 200)


@contextmanager
def serving(catalog: Path) -> Iterator[Server]:
    """Start a server, and stop it as a service manager does."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "shoplens", "serve", "--catalog", str(catalog), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        ready = next((line for line in lines if line.startswith("ready: ")), None)
        if ready is None:
            raise SystemExit("the server did not start")
        seconds = time.perf_counter() - started
        address = urlsplit(ready.removeprefix("ready: ").strip())
        assert address.hostname is not None
        assert address.port is not None
        # Its log would fill the pipe.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield Server(process, address.hostname, address.port, seconds)
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise SystemExit(f"the server ended with {process.returncode}")
        drain.wait(10)
    finally:
        process.kill()


def jpegs() -> list[bytes]:
    """Return photos of the sample at the size that is measured."""
    found = []
    for photo in read_queries(SAMPLE)[:N_PHOTOS]:
        with Image.open(photo.path) as image:
            factor = SIDE / max(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            stream = io.BytesIO()
            image.convert("RGB").resize(size).save(stream, "JPEG", quality=90)
            found.append(stream.getvalue())
    return found


def embedding_rate(photos: PhotoSet, encoder: Encoder) -> float:
    """Return photos/s of the library alone, which decodes and embeds on all cores."""
    started = time.perf_counter()
    embedded = embed(photos, encoder, cache=False)
    assert not embedded.failures
    return len(photos) / (time.perf_counter() - started)


def answered(load: Load, n: int) -> str:
    """Return how many requests got which answer; raises `SystemExit` if any got another."""
    if set(load.statuses) - {200, 429} or load.statuses.total() != n:
        raise SystemExit(f"not every request was answered: {load.statuses} of {n}")
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(load.statuses.items()))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    arguments = parser.parse_args()
    encoder = load_encoder()
    stamp = ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)
    photos = jpegs()
    photo_set = PhotoSet(query_photo(photos[n % len(photos)], BOX, n) for n in range(EMBEDDED))
    memory: dict[int, dict[str, float]] = {}
    with fresh_folder() as scratch:
        with open_catalog(scratch / "catalogue", create=True) as catalog:
            fill(catalog, arguments.photos, stamp)
        bare, library = [bare_inference()], [embedding_rate(photo_set, encoder)]
        with serving(scratch / "catalogue") as server:
            host, port = server.host, server.port
            # No two requests of a while are alike.
            requests = [
                search_request(f"{host}:{port}", numbered(photos[n % len(photos)], n), BOX)
                for n in range(10 * len(photos))
            ]
            closed_loop(host, port, requests, n=20)
            alone = closed_loop(host, port, requests, n=ONE_CLIENT)
            bare.append(bare_inference())
            library.append(embedding_rate(photo_set, encoder))

            def tick(done: int) -> None:
                if done % FIRST == 0:
                    memory[done] = server.memory_mb()

            busy = closed_loop(
                host, port, requests, n=arguments.requests, clients=CLIENTS, tick=tick
            )
            bare.append(bare_inference())
            library.append(embedding_rate(photo_set, encoder))
            settled = server.memory_mb()
            over = open_loop(
                host, port, requests, rate=OVERLOAD * busy.rate, seconds=OVERLOAD_SECONDS
            )
            after = server.memory_mb()
            assert server.is_ready()
            start_seconds = server.start_seconds
    n_over = round(OVERLOAD * busy.rate * OVERLOAD_SECONDS)
    told = [answered(alone, ONE_CLIENT), answered(busy, arguments.requests)]
    told.append(answered(over, n_over))
    inference, reference = mean(bare), mean(library)
    first, last = min(memory), max(memory)
    rows = [
        ["start of the process to ready, s", f"{start_seconds:.1f}", f"{TARGETS['start']:g}"],
        ["one client, ms: p50", f"{alone.milliseconds(0.5):.0f}", f"{TARGETS['p50']:g}"],
        [
            "one client, ms: p90, p99",
            f"{alone.milliseconds(0.9):.0f}, {alone.milliseconds(0.99):.0f}",
            "",
        ],
        [f"{CLIENTS} clients, searches/s", f"{busy.rate:.1f}", ""],
        [f"{CLIENTS} clients, ms: p50, p99",
         f"{busy.milliseconds(0.5):.0f}, {busy.milliseconds(0.99):.0f}", ""],
        ["the library alone, photos/s", f"{reference:.1f}", ""],
        ["searches / the library's photos", f"{busy.rate / reference:.2f}",
         f"at least {TARGETS['share']:g}"],
        ["bare inference, photos/s", f"{inference:.1f}", ""],
        ["searches / bare inference", f"{busy.rate / inference:.2f}", ""],
        [f"{OVERLOAD} times as many, searches/s", f"{over.rate:.1f}", ""],
        [f"{OVERLOAD} times as many, answers", told[2], "only 200 and 429"],
        [f"{OVERLOAD} times as many, ms of those accepted: p50, p99",
         f"{over.milliseconds(0.5):.0f}, {over.milliseconds(0.99):.0f}",
         f"p99 {TARGETS['p99']:g}"],
        [f"memory after {first:,} requests, MB (without mapped files)",
         f"{memory[first]['resident']:.0f} ({memory[first]['own']:.0f})", ""],
        [f"memory after {last:,} requests",
         f"{memory[last]['resident']:.0f} ({memory[last]['own']:.0f})", "the same"],
        [f"memory after {OVERLOAD} times as many",
         f"{after['resident']:.0f} ({after['own']:.0f})", ""],
    ]  # fmt: skip
    sizes = sum(map(len, photos)) / len(photos) / 1e3
    text = (
        f"A catalogue of {arguments.photos:,} photos, {stamp.dimension} dimensions; JPEGs of "
        f"{SIDE} pixels and {sizes:.0f} kB on average, with a box. The load comes from a second "
        "process on the same cores.\n\n"
    )
    text += table(["", "measured", "target: at most"], rows)
    values = {
        "n": arguments.photos,
        "start_seconds": start_seconds,
        "library_per_second": library,
        "bare_per_second": bare,
        "one_client": alone.to_json(),
        "saturated": busy.to_json(),
        "overload": over.to_json(),
        "memory_mb": {"by_requests": memory, "before_overload": settled, "after_overload": after},
    }
    command = "python3 make.py bench service"
    if arguments.requests != REQUESTS:
        command = f".venv/bin/python bench/service.py --requests {arguments.requests}"
    finish("service", command, values, text)


if __name__ == "__main__":
    main()
