"""Small challenges on the sample data, for the tests of the registry; also run in processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.challenge.registry.creation import create_challenge
from shoplens.challenge.registry.intake import submit
from shoplens.challenge.registry.queue import SubmissionOutcome, claim, finish
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.split import Split, read_split
from shoplens.challenge.registry.teams import add_team
from shoplens.errors import ChallengeError

# Not from conftest, which imports all of the command line: this is loaded by processes.
ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "src" / "shoplens" / "sample"
NOW = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
END = NOW + timedelta(days=30)


def make_challenge(folder: Path, *teams: str, **options: Any) -> Registry:
    """Create a challenge that began at NOW and ends at END."""
    registry = create_challenge(
        folder / "challenge", SAMPLE, **{"now": NOW, "ends": END, **options}
    )
    for team in teams:
        add_team(registry.database, team, now=NOW)
    return registry


def make_submission(folder: Path, ranker: str = "") -> Path:
    """Write a submission whose ranker returns the gallery in its order, after `ranker` has run."""
    package = folder / "my_submission"
    package.mkdir(parents=True)
    (folder / "aicrowd.json").write_text(
        json.dumps({"challenge_id": "made", "authors": ["tests"], "gpu": False, "description": ""})
    )
    (package / "user_config.py").write_text(
        f"""
import csv
import time
import numpy as np

class My_Ranker:
    def __init__(self, dataset_path, gallery_csv_path, queries_csv_path):
        with open(gallery_csv_path) as stream:
            self.gallery = [int(row["seller_img_id"]) for row in csv.DictReader(stream)]
        with open(queries_csv_path) as stream:
            self.n_queries = len(list(csv.DictReader(stream)))

    def predict_product_ranks(self):
        {ranker or "pass"}
        return np.tile(np.array(self.gallery, dtype=np.int32), (self.n_queries, 1))
"""
    )
    return folder


def send(
    registry: Registry, submission: Path, team: str, now: datetime = NOW, label: str | None = None
) -> int:
    """Submit; return the number."""
    return submit(registry, submission, team, now=now, label=label).id


def split_of(registry: Registry) -> Split:
    with registry.database.reading() as connection:
        return read_split(connection)


def score(
    registry: Registry, public: float, private: float, now: datetime = NOW, verdict: str = "ok"
) -> int:
    """Let a worker take the next submission and write scores of our choice; return its number."""
    mine = claim(registry.database, "tests", now=now)
    assert mine is not None
    ap = np.where(split_of(registry).is_public, public, private)
    record = json.dumps({"verdict": verdict, "metrics": {"map@1000": {"value": 0.987654}}})
    outcome = SubmissionOutcome(
        verdict, "", True, 1.5, 20.0, f"{mine.number:06d}-{mine.attempt}", record, ap
    )
    assert finish(registry.database, mine, outcome, now=now)
    return mine.number


def submit_many(folder: str, submission: str, team: str, n: int) -> list[int]:
    """Submit n times; return the numbers of those that were taken in. Runs in a process."""
    numbers = []
    for _ in range(n):
        try:
            numbers.append(send(Registry(Path(folder)), Path(submission), team))
        except ChallengeError:
            continue
    return numbers


def claim_many(folder: str, worker: str) -> list[int]:
    """Claim and finish until nothing waits; return the numbers. Runs in a process."""
    database = Registry(Path(folder)).database
    numbers = []
    while (mine := claim(database, worker, now=NOW)) is not None:
        numbers.append(mine.number)
        assert finish(database, mine, SubmissionOutcome("crashed", "made", True), now=NOW)
    return numbers


def start_python(code: str, *words: object) -> subprocess.Popen[str]:
    """Start a Python process in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])},
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9 it, and wait for its end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
