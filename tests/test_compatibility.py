"""Submissions written for the 2023 starter kit in our harness, and our ranker in the original's.

The original's wrapper is written here from its description, its scoring in `original_kit`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Run
from made_wheel import write_wheel, write_wheel_of
from original_kit import Answer, original_score

from shoplens.challenge.kit import write_submission
from shoplens.challenge.running import run_submission
from shoplens.challenge.submission import prepare_environment, read_submission
from shoplens.datasets.dataset import read_dataset
from shoplens.evaluation.scores import evaluate
from shoplens.ranking import Ranking

sys.path.append(str(ROOT / "scripts"))

from make_catalogue import make_catalogue

WRAPPER = """
import os
from my_submission.user_config import My_Ranker

class AIcrowdWrapper:
    def __init__(self, dataset_dir="./public_dataset"):
        self.folder = os.getenv("AICROWD_DATASET_DIR", dataset_dir)
        assert os.path.exists(self.folder), f"no folder {self.folder}"

    def predict_product_ranks(self):
        tables = [os.path.join(self.folder, name) for name in ("gallery.csv", "queries.csv")]
        return My_Ranker(self.folder, *tables).predict_product_ranks()
"""

PROGRAM = """
import sys
import numpy as np
from my_submission.aicrowd_wrapper import AIcrowdWrapper
np.save(sys.argv[1], AIcrowdWrapper(dataset_dir="/nowhere").predict_product_ranks())
"""


def run_under_the_original_kit(folder: Path, data: Path) -> Answer:
    """Run a submission as the original evaluator does: a process in its folder."""
    (folder / "my_submission" / "aicrowd_wrapper.py").write_text(WRAPPER)
    output = folder.with_name("answer.npy")
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(output)],
        cwd=folder,
        env={**os.environ, "AICROWD_DATASET_DIR": str(data)},
        check=True,
    )
    answer: Answer = np.load(output)
    return answer


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled set of more than a thousand gallery photos; ids are rows; four are damaged."""
    folder = tmp_path_factory.mktemp("made") / "catalogue"
    make_catalogue(folder)
    return folder


def test_the_made_catalogue_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_catalogue(tmp_path / name, products=5, queries=3)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) > 10 + 3
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_our_ranker_runs_and_scores_the_same_in_the_original_kit(
    tmp_path: Path, catalogue: Path, make_model, run: Run
) -> None:
    folder = tmp_path / "submission"
    (folder / "my_submission").mkdir(parents=True)
    make_model("toy").rename(folder / "toy")
    (folder / "my_submission" / "user_config.py").write_text(
        "from shoplens.challenge.ranker import ShoplensRanker\n"
        "class My_Ranker(ShoplensRanker):\n"
        "    model = 'toy'\n"  # A folder, from the working directory.
    )
    answer = run_under_the_original_kit(folder, catalogue)
    assert answer.dtype == np.int32
    value, precisions = original_score(answer, catalogue)
    assert 0.05 < value < 0.95

    dataset = read_dataset(catalogue)
    assert len(dataset.gallery) > 1000
    scores = evaluate(Ranking(dataset.queries.ids, answer, None), dataset)
    assert scores["map@1000"].value == value
    np.testing.assert_array_equal(scores.per_query["map@1000"], precisions)

    # The command line agrees, on the file and on the model itself.
    ranks = run("evaluate", catalogue, "--ranks", tmp_path / "answer.npy", "--json", "-")
    assert ranks.json["metrics"]["map@1000"]["value"] == value
    model = run("evaluate", catalogue, "--model", folder / "toy", "--json", "-")
    assert model.json["metrics"]["map@1000"]["value"] == value
    assert model.json["n_failed"] == 4


def test_the_original_scoring_gives_the_worked_examples(tmp_path: Path) -> None:
    (tmp_path / "gallery.csv").write_text(
        "seller_img_id,product_id\n"
        + "".join(f"{i},{'a' if i < 3 else 'b'}\n" for i in range(1000))
    )
    (tmp_path / "queries.csv").write_text("user_img_id,product_id\n0,a\n")
    hits = {1: 0, 4: 1, 5: 2}
    others = iter(range(3, 1000))
    row = [hits[rank] if rank in hits else next(others) for rank in range(1, 1001)]
    value, _ = original_score(np.array([row], dtype=np.int32), tmp_path)
    assert value == pytest.approx(0.7)
    with pytest.raises(AssertionError):
        original_score(np.array([row[:999]], dtype=np.int32), tmp_path)
    with pytest.raises(AssertionError, match="twice"):
        original_score(np.array([[0, 0, *row[2:]]], dtype=np.int32), tmp_path)


FEATURES = """
import numpy as np
from PIL import Image

def feature(path, box=None):
    photo = Image.open(path).convert("RGB")
    if box is not None:
        photo = photo.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
    vector = np.asarray(photo.resize((4, 4)), dtype=np.float32).ravel()
    vector -= np.load("weights/mean.npy")
    return vector / np.linalg.norm(vector)
"""

BASELINE = """
import csv
import logging
import os
import sys
from multiprocessing import Pool

import numpy as np

from .features import feature
from my_submission.settings import DEPTH

logging.basicConfig(level=logging.DEBUG)
print("imported", flush=True)


class Baseline:
    def __init__(self, dataset_path, gallery_csv_path, queries_csv_path):
        assert isinstance(dataset_path, str)
        assert os.path.abspath(os.curdir) == os.path.dirname(os.path.dirname(__file__))
        self.dataset_path = dataset_path
        with open(gallery_csv_path) as file:
            self.gallery = list(csv.DictReader(file))
        with open(queries_csv_path) as file:
            self.queries = list(csv.DictReader(file))
        assert "product_id" not in self.gallery[0]
        os.makedirs("cache", exist_ok=True)

    def raise_aicrowd_error(self, msg):
        raise NameError(msg)

    def path(self, row):
        return os.path.join(self.dataset_path, row["img_path"])

    def predict_product_ranks(self):
        os.system("echo noise from a child; echo more >&2")
        with Pool(2) as pool:
            gallery = np.stack(pool.map(feature, [self.path(row) for row in self.gallery]))
        np.save("cache/gallery.npy", gallery)
        sys.stdout.write("\\x1b[31mno newline")
        boxes = [[int(row["bbox_" + side]) for side in "xywh"] for row in self.queries]
        queries = np.stack([feature(self.path(r), b) for r, b in zip(self.queries, boxes)])
        order = np.argsort(-queries @ np.load("cache/gallery.npy").T, axis=1)
        return self.numbers(order[:, :DEPTH])

    def numbers(self, order):
        return np.array([int(row["seller_img_id"]) for row in self.gallery])[order]
"""


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A submission as people wrote them in 2023: several modules, weights, noise."""
    folder = tmp_path / "baseline"
    package = folder / "my_submission"
    package.mkdir(parents=True)  # Without an __init__.py, as many were.
    (package / "user_config.py").write_text(
        "from my_submission.baseline import Baseline\n\nMy_Ranker = Baseline\n"
    )
    (package / "baseline.py").write_text(BASELINE)
    (package / "features.py").write_text(FEATURES)
    (package / "settings.py").write_text("DEPTH = 1000\n")
    (package / "aicrowd_wrapper.py").write_text(WRAPPER)
    (folder / "weights").mkdir()
    np.save(folder / "weights" / "mean.npy", np.full(48, 127, np.float32))
    (folder / "aicrowd.json").write_text(
        '{"challenge_id": "visual-product-recognition-challenge-2023", "authors": ["them"], '
        '"gpu": false, "description": "(optional)", "external_dataset_used": false}'
    )
    (folder / "requirements.txt").write_text("# numpy and pillow are there\n")
    return folder


@pytest.fixture
def numbered(make_dataset: Callable[..., Path]) -> Path:
    """A labelled set whose ids are no row numbers."""
    return make_dataset(
        gallery=((70, "a"), (500, "b"), (9, "c"), (8, "d")),
        queries=((4, "c", "0,0,64,48"), (3, "b", "0,0,64,48"), (1, "d", "0,0,64,48")),
    )


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_submission_of_2023_runs_unchanged(baseline: Path, numbered: Path) -> None:
    before = {path: path.read_bytes() for path in baseline.rglob("*") if path.is_file()}
    result = run_submission(baseline, numbered)
    assert (result.verdict, result.reason) == ("ok", "")
    assert result.scores is not None
    assert result.scores["map@1000"].value == 1
    assert result.findings == ()
    for noise in ("imported", "noise from a child", "more", "no newline"):
        assert noise in result.log
    assert before == {path: path.read_bytes() for path in baseline.rglob("*") if path.is_file()}


def test_it_runs_without_a_wrapper(baseline: Path, numbered: Path) -> None:
    (baseline / "my_submission" / "aicrowd_wrapper.py").unlink()
    result = run_submission(baseline, numbered)
    assert (result.verdict, result.reason) == ("ok", "")
    assert result.scores is not None
    assert result.scores["map@1000"].value == 1


def test_its_wrapper_may_name_the_arguments(baseline: Path, numbered: Path) -> None:
    change(
        baseline / "my_submission" / "aicrowd_wrapper.py",
        "My_Ranker(self.folder, *tables)",
        "My_Ranker(dataset_path=self.folder, queries_csv_path=tables[1], "
        "gallery_csv_path=tables[0])",
    )
    assert run_submission(baseline, numbered).verdict == "ok"


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ("order", {"positions"}),
        ("order.astype(np.int64)", {"positions"}),
        ("order.astype(np.float32)", {"positions", "float_ids"}),
        ("order.tolist()", {"positions"}),
    ],
)
def test_row_positions_are_understood(
    baseline: Path, numbered: Path, numbers: str, codes: set[str]
) -> None:
    file = baseline / "my_submission" / "baseline.py"
    change(file, "self.numbers(order[:, :DEPTH])", numbers)
    result = run_submission(baseline, numbered)
    assert {finding.code for finding in result.findings} == codes
    assert result.scores is not None
    assert result.scores["map@1000"].value == 1


def test_its_own_error_reaches_it(baseline: Path, numbered: Path) -> None:
    file = baseline / "my_submission" / "baseline.py"
    change(file, 'os.makedirs("cache"', 'self.raise_aicrowd_error("weights too old") #')
    result = run_submission(baseline, numbered, private=True)
    assert result.verdict == "crashed"
    assert "weights too old" in result.log


DEPTH_SUBMISSION = """
import csv
import pathlib

import numpy as np
from their_depth import DEPTH


class My_Ranker:
    def __init__(self, dataset_path, gallery_csv_path, queries_csv_path):
        tables = (gallery_csv_path, queries_csv_path)
        self.sizes = [len(list(csv.DictReader(open(path)))) for path in tables]
        for folder in FORBIDDEN:
            if pathlib.Path(folder).exists():
                raise RuntimeError("it sees " + folder)

    def predict_product_ranks(self):
        return np.tile(np.arange(DEPTH), (self.sizes[1], 1))
"""


def test_a_submission_runs_in_an_environment_of_its_own(
    baseline: Path, numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    # Files that packages leave behind are run by every start of Python, and lead anywhere.
    left = f"import pathlib; pathlib.Path({str(secret / 'ran.txt')!r}).write_text('')\n{secret}\n"
    write_wheel_of(tmp_path / "wheels", "numpy")
    write_wheel(
        baseline / "wheels", "their_depth", {"their_depth.py": "DEPTH = 3\n", "left.pth": left}
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_COMPILE", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (baseline / "requirements.txt").write_text("./wheels/their_depth-1-py3-none-any.whl\n")
    (baseline / "my_submission" / "user_config.py").write_text(
        DEPTH_SUBMISSION.replace("FORBIDDEN", repr([str(secret), str(numbered)]))
    )
    assert run_submission(baseline, numbered).verdict == "crashed"  # No their_depth here.

    python = prepare_environment(read_submission(baseline), tmp_path / "environments").python
    result = run_submission(baseline, numbered, python=python, policy="lenient")
    assert (result.verdict, result.reason) == ("ok", "")
    assert {finding.code for finding in result.findings} == {"columns", "positions"}
    assert list(secret.iterdir()) == []


def test_our_kit_runs_in_our_harness(tmp_path: Path, numbered: Path) -> None:
    write_submission(tmp_path / "mine", ranker="shoplens")
    result = run_submission(tmp_path / "mine", numbered)
    assert (result.verdict, result.reason) == ("ok", "")
    assert result.scores is not None
    assert result.scores["map@1000"].value == 1
