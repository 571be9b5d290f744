"""Where hostile submissions are let loose: a small test set, secrets to find, what may be left."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image

from hostile.folders import Case, write
from shoplens.challenge import inside
from shoplens.challenge.running import ChallengeRun, Limits, run_submission
from shoplens.challenge.sandbox.groups import own_groups

SECRET = "hide-and-seek-5150"
LIMITS = Limits(
    seconds=60,
    cpus=1,
    memory_mb=150,
    processes=30,
    scratch_mb=20,
    scratch_files=1000,
    output_mb=5,
    log_mb=1,
)
ENDLESS_SECONDS = 2.0


@contextmanager
def stage(folder: Path) -> Iterator[dict[str, str]]:
    """Make a test set whose products are secrets, and things of the machine to reach for."""
    dataset, outside, submissions = (
        folder / name for name in ("dataset", "outside", "submissions")
    )
    for path in (dataset / "gallery", dataset / "queries", outside, submissions):
        path.mkdir(parents=True)
    write_dataset(dataset)
    (outside / "secret.txt").write_text(SECRET)
    outside.chmod(0o777)
    address = str(outside / "socket")
    abstract = f"shoplens-test-{os.getpid()}"
    with (
        socket.create_server(("0.0.0.0", 0)) as server,
        socket.socket(socket.AF_UNIX) as of_file,
        socket.socket(socket.AF_UNIX) as of_name,
    ):
        of_file.bind(address)
        Path(address).chmod(0o777)
        of_file.listen()
        of_name.bind(f"\0{abstract}")
        of_name.listen()
        os.environ["SHOPLENS_TEST_SECRET"] = SECRET
        try:
            yield {
                "dataset": str(dataset),
                "labels": str(dataset / "gallery.csv"),
                "outside": str(outside),
                "submissions": str(submissions),
                "secret": SECRET,
                "harness": str(os.getpid()),
                "port": str(server.getsockname()[1]),
                "address": socket.gethostname(),
                "socket": address,
                "abstract": abstract,
            }
        finally:
            del os.environ["SHOPLENS_TEST_SECRET"]


def write_dataset(folder: Path) -> None:
    """Write four gallery photos and two queries."""
    lines = ["seller_img_id,img_path,product_id"]
    for number in range(4):
        Image.new("RGB", (32, 24), (number * 60, 90, 20)).save(folder / f"gallery/{number}.png")
        lines.append(f"{100 + number},gallery/{number}.png,{SECRET}-{number % 2}")
    (folder / "gallery.csv").write_text("\n".join(lines) + "\n")
    lines = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
    for number in range(2):
        Image.new("RGB", (32, 24), (number * 60, 90, 30)).save(folder / f"queries/{number}.png")
        lines.append(f"{number},queries/{number}.png,2,2,20,20,{SECRET}-{number}")
    (folder / "queries.csv").write_text("\n".join(lines) + "\n")
    (folder / "ground_truth.csv").write_text(SECRET)


def let_loose(case: Case, places: dict[str, str]) -> ChallengeRun:
    """Run one case; the machine must keep it apart."""
    folder = write(case, Path(places["submissions"], case.name), places)
    limits = replace(LIMITS, seconds=ENDLESS_SECONDS) if case.verdict == "time_limit" else LIMITS
    return run_submission(folder, Path(places["dataset"]), limits=limits, isolation="required")


def leftovers() -> list[str]:
    """Return what runs of this process have left on the machine."""
    own = f"-{os.getpid()}-"
    ours = os.fsencode(sys.executable)
    found = []
    for folder in Path("/proc").iterdir():
        if (name := folder.name).isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            is_launcher = b"sandbox.launcher" in command and ours in command
            if os.fsencode(inside.__file__) in command or is_launcher:
                found.append(f"process {name}: {command!r}")
    for folder in set(own_groups().values()):
        for parent in (folder, *folder.parents):
            found += [str(path) for path in parent.glob(f"shoplens{own}*")]
    found += [str(path) for path in Path(tempfile.gettempdir()).glob(f"shoplens-run{own}*")]
    mounts = Path("/proc/self/mounts").read_text()
    found += [line for line in mounts.splitlines() if "shoplens-run" in line]
    return found
