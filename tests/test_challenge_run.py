from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hostile.folders import Case, write
from hostile.stage import LIMITS, SECRET, leftovers, write_dataset
from made_wheel import write_wheel

from shoplens.challenge.running import ChallengeRun, Limits, run_submission
from shoplens.challenge.sandbox import groups, supervision
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import MissingError, ShoplensError
from shoplens.ranking import Ranking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are POSIX's")

GOOD = "return self.good()"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "labelled"
    for side in ("gallery", "queries"):
        (root / side).mkdir(parents=True)
    write_dataset(root)
    return root


@pytest.fixture
def go(tmp_path: Path, dataset: Path) -> Callable[..., ChallengeRun]:
    """Run a ranker with that body."""

    def go(
        body: str = GOOD, whole: str | None = None, files: Any = None, **options: Any
    ) -> ChallengeRun:
        case = Case("tried", "", textwrap.dedent(body), whole=whole, files=files or {})
        folder = write(case, tmp_path / "submission", {})
        return run_submission(folder, dataset, **{"limits": LIMITS, **options})

    return go


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    assert leftovers() == []


@pytest.fixture
def apart(go: Callable[..., ChallengeRun]) -> None:
    """Skip where submissions cannot be kept apart."""
    try:
        go(isolation="required")
    except ShoplensError as error:
        pytest.skip(str(error))


class TestRecord:
    def test_scores_are_those_of_the_answer(self, go: Callable[..., ChallengeRun]) -> None:
        # Products of the gallery: 0, 1, 0, 1; of the queries: 0, 1.
        result = go()
        assert (result.verdict, result.reason) == ("ok", "")
        assert result.scores is not None
        assert result.scores["map@1000"].value == pytest.approx(
            ((1 + 2 / 3) / 2 + (1 / 2 + 2 / 4) / 2) / 2
        )

    def test_json_has_the_shape_of_evaluate_and_more(self, go: Callable[..., ChallengeRun]) -> None:
        record = json.loads(
            json.dumps(go("print('hello')\nreturn self.good().astype(float)").to_json())
        )
        assert record["metrics"]["hit@1"]["value"] == 0.5
        assert (record["n_queries"], record["n_gallery"], record["verdict"]) == (2, 4, "ok")
        assert record["log"] == "hello\n"
        assert [finding["code"] for finding in record["findings"]] == ["float_ids"]
        assert 0 < record["wall_seconds"] < LIMITS.seconds
        assert record["cpu_seconds"] > 0
        phases = ["stage", "start", "import", "construct", "predict", "answer", "check", "score"]
        assert list(record["phases"]) == phases
        assert record["enforced"]

    def test_without_scores_it_has_the_same_keys(self, go: Callable[..., ChallengeRun]) -> None:
        good, bad = go().to_json(), go("raise ValueError('no')").to_json()
        assert set(bad) <= set(good)
        assert set(good) - set(bad) <= {"conventions"}
        assert bad["metrics"] == {}
        assert "Traceback" in bad["log"]

    def test_memory_and_processor_time_are_measured(self, go: Callable[..., ChallengeRun]) -> None:
        light = go()
        heavy = go("""
            held = np.ones(10**7)  # 80 MB
            end = time.process_time() + 0.5
            while time.process_time() < end: pass
            print(time.process_time())
            return self.good()
        """)
        assert heavy.verdict == "ok"
        assert heavy.peak_memory_mb == pytest.approx(light.peak_memory_mb + 80, abs=15)
        own = float(heavy.log)
        assert 0.9 * own < heavy.cpu_seconds < own + 10

    def test_lenient_and_strict(self, go: Callable[..., ChallengeRun]) -> None:
        short = "return self.good()[:, :2]"
        assert go(short).verdict == "invalid_answer"
        assert go(short, policy="lenient").verdict == "ok"

    def test_private_data_are_not_told(self, go: Callable[..., ChallengeRun]) -> None:
        body = "print('a secret'); raise ValueError('a secret')"
        result = go(body, private=True)
        assert (result.verdict, result.reason) == ("crashed", "predict: ValueError")
        assert "a secret" not in json.dumps(result.to_json())
        assert b"a secret" in result.full_log
        assert "a secret" in json.dumps(go(body).to_json())

    @pytest.mark.parametrize(
        "name", ["told_a_secret", "KeyErrorOfASecret", "ValueError told", "print", ""]
    )
    def test_names_of_exceptions_carry_nothing(
        self, go: Callable[..., ChallengeRun], name: str
    ) -> None:
        result = go(f"raise type({name!r}, (ValueError,), {{}})('why')", private=True)
        assert result.reason == "predict: an exception that is not built into Python"

    def test_private_answers_are_not_told(self, go: Callable[..., ChallengeRun]) -> None:
        result = go("return self.good() + 987654", private=True)
        assert (result.verdict, result.reason) == ("invalid_answer", "unknown_id")
        assert "9877" not in json.dumps(result.to_json())

    def test_what_a_team_is_told_by_itself_is_shown(self, go: Callable[..., ChallengeRun]) -> None:
        body = "self.raise_aicrowd_error('x' * 10000)"
        log = go(body, private=True).log
        assert "raise_aicrowd_error: xxx" in log
        assert len(log) < 1000

    def test_a_test_set_without_labels_is_not_scored(
        self, go: Callable[..., ChallengeRun], dataset: Path
    ) -> None:
        for name in ("gallery.csv", "queries.csv"):
            lines = (dataset / name).read_text().splitlines()
            (dataset / name).write_text("\n".join(x.rpartition(",")[0] for x in lines) + "\n")
        result = go()
        assert (result.verdict, result.scores) == ("ok", None)

    def test_a_run_folder(
        self, go: Callable[..., ChallengeRun], dataset: Path, tmp_path: Path
    ) -> None:
        data = read_dataset(dataset)
        go("print('hello')\nreturn self.good()", private=True).save(tmp_path / "run", data, "first")
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        assert (record["label"], record["verdict"]) == ("first", "ok")
        assert record["dataset"] == str(dataset)
        ranking = Ranking.load(tmp_path / "run" / "ranking.npz", data.queries.ids)
        assert ranking.ids[0].tolist() == [100, 101, 102, 103]
        assert (tmp_path / "run" / "logs" / "all.txt").read_text() == "hello\n"
        assert "hello" not in (tmp_path / "run" / "logs" / "shown.txt").read_text()

    def test_a_run_folder_of_a_failure(
        self, go: Callable[..., ChallengeRun], dataset: Path, tmp_path: Path
    ) -> None:
        result = go("raise ValueError")
        result.save(tmp_path / "run", read_dataset(dataset), "x")
        assert json.loads((tmp_path / "run" / "run.json").read_text())["verdict"] == "crashed"
        assert not (tmp_path / "run" / "ranking.npz").exists()
        with pytest.raises(MissingError, match="is not there"):
            result.save(tmp_path / "no" / "run", read_dataset(dataset), "x")


class TestCompatibility:
    """What submissions for the 2023 kit rely on."""

    def test_its_own_wrapper_is_used(self, go: Callable[..., ChallengeRun]) -> None:
        wrapper = """
            import os
            from my_submission.user_config import My_Ranker
            class AIcrowdWrapper:
                def __init__(self, dataset_dir='./public_dataset/'):
                    self.dir = os.getenv('AICROWD_DATASET_DIR', dataset_dir)
                    assert os.path.exists(self.dir), f'{self.dir} folder not found'
                def raise_aicrowd_error(self, msg):
                    raise NameError(msg)
                def predict_product_ranks(self):
                    print('through the wrapper')
                    tables = [os.path.join(self.dir, n) for n in ('gallery.csv', 'queries.csv')]
                    return My_Ranker(self.dir, *tables).predict_product_ranks()
        """
        result = go(files={"my_submission/aicrowd_wrapper.py": textwrap.dedent(wrapper)})
        assert (result.verdict, result.log) == ("ok", "through the wrapper\n")

    def test_working_folder_imports_and_files_beside(self, go: Callable[..., ChallengeRun]) -> None:
        files = {
            "my_submission/part.py": "from .deeper.names import NAME\n",
            "my_submission/deeper/__init__.py": "",
            "my_submission/deeper/names.py": "NAME = 'found'\n",
            "beside.py": "NAME = 'beside'\n",
            "weights/w.txt": "weights",
        }
        result = go("""
            from .part import NAME
            import beside
            print(NAME, beside.NAME, open("weights/w.txt").read())
            print(os.environ["AICROWD_DATASET_DIR"] == self.data)
            return self.good()
        """, files=files)  # fmt: skip
        assert result.log == "found beside weights\nTrue\n"

    def test_worker_processes(self, go: Callable[..., ChallengeRun]) -> None:
        files = {"my_submission/part.py": "def double(x):\n    return 2 * x\n"}
        result = go("""
            import multiprocessing
            from .part import double
            for way in ("fork", "spawn"):
                with multiprocessing.get_context(way).Pool(2) as pool:
                    print(pool.map(double, [1, 2]))
            return self.good()
        """, files=files)  # fmt: skip
        assert result.log == "[2, 4]\n[2, 4]\n", result.reason

    def test_an_interpreter_that_is_not_there(self, go: Callable[..., ChallengeRun]) -> None:
        result = go(python=Path("/no/such/python"))
        assert result.verdict == "cannot_start"
        assert "/no/such/python" in result.reason


@pytest.mark.usefixtures("apart")
class TestApart:
    def test_everything_is_enforced_for_root(self, go: Callable[..., ChallengeRun]) -> None:
        result = go()
        names = {sentence.partition(":")[0] for sentence in result.enforced}
        assert {"time", "output", "network", "files", "scratch files"} <= names
        if os.getuid() == 0 and groups.own_groups():
            assert {"memory", "processes", "processors"} <= names
            assert result.not_enforced == ()

    def test_without_groups(
        self, go: Callable[..., ChallengeRun], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(groups, "own_groups", dict)
        hog = "held = []\nwhile True: held.append(bytearray(10**6))"
        result = go(hog)
        assert result.verdict == "memory_limit"
        assert any(s.startswith("memory: no control group") for s in result.not_enforced)
        assert any(s.startswith("processes: 30 (resource limit)") for s in result.enforced)
        bomb = "while True:\n    try: os.fork()\n    except OSError: pass"
        assert go(bomb).verdict == "process_limit"
        assert go().verdict == "ok"

    def test_labels_inside_the_python_environment_are_hidden(
        self, go: Callable[..., ChallengeRun], tmp_path: Path
    ) -> None:
        # The sample set lies in the package, which a submission may import.
        sample = ROOT / "src" / "shoplens" / "sample"
        body = f"import glob\nprint(glob.glob('{sample}/*'))\nreturn self.good()"
        folder = write(Case("x", "", body), tmp_path / "looks", {})
        result = run_submission(folder, sample, limits=LIMITS, isolation="required")
        assert (result.verdict, result.log) == ("ok", "[]\n")

    def test_two_at_once(
        self, go: Callable[..., ChallengeRun], tmp_path: Path, dataset: Path
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        folders = [
            write(Case(f"n{i}", "", f"open('/tmp/x', 'w').write('{i}')\ntime.sleep(0.5)\n"
                       "print(open('/tmp/x').read())\nreturn self.good()"), tmp_path / f"n{i}", {})
            for i in range(2)
        ]  # fmt: skip
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda f: run_submission(f, dataset, limits=LIMITS), folders))
        assert [result.log for result in results] == ["0\n", "1\n"]


def may_run_without_rights() -> bool:
    """Whether a user without rights can run this Python: it may lie in a private folder."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    try:
        done = subprocess.run([sys.executable, "-c", ""], capture_output=True, check=False, **user)  # type: ignore[call-overload]
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(
    sys.platform == "linux" and not may_run_without_rights(),
    reason="where namespaces are missing, submissions run without rights, and may not run this "
    "Python, which lies in a private folder",
)
class TestNotApart:
    """Where there are no namespaces: fewer limits, all of them said."""

    def test_it_says_so(self, go: Callable[..., ChallengeRun]) -> None:
        result = go(isolation="none")
        assert result.verdict == "ok"
        assert "network: open" in result.not_enforced
        assert "namespaces: asked for" in result.not_enforced

    @pytest.mark.parametrize(
        ("body", "verdict"),
        [
            ("while True: pass", "time_limit"),
            ("while True: print('x' * 10**5)", "output_limit"),
            ("if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
             "    while True: time.sleep(1)\n" + GOOD, "ok"),
            ("os._exit(5)", "crashed"),
            ("folder = self.data + '/gallery/'\n"
             "for name in os.listdir(folder): os.remove(folder + name)",
             None),
        ],
        ids=["endless", "prints", "daemon", "exits", "removes_data"],
    )  # fmt: skip
    def test_what_still_holds(
        self, body: str, verdict: str | None, go: Callable[..., ChallengeRun], dataset: Path
    ) -> None:
        seconds = 3 if verdict == "time_limit" else 60
        limits = Limits(seconds=seconds, cpus=1, memory_mb=200, log_mb=1)
        result = go(body, isolation="none", limits=limits)
        assert verdict is None or result.verdict == verdict
        assert len(list((dataset / "gallery").iterdir())) == 4

    @pytest.mark.skipif(sys.platform != "linux", reason="memory is watched through /proc")
    def test_memory_and_processes_are_watched(
        self, go: Callable[..., ChallengeRun], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(groups, "own_groups", dict)
        hog = "held = []\nwhile True:\n    held.append(bytearray(10**6)); time.sleep(0.002)"
        assert go(hog, isolation="none").verdict == "memory_limit"
        children = "for _ in range(40):\n    if os.fork() == 0: time.sleep(1000)\ntime.sleep(1000)"
        assert go(children, isolation="none").verdict == "process_limit"

    def test_required_refuses(
        self, go: Callable[..., ChallengeRun], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervision.sys, "platform", "elsewhere")
        with pytest.raises(ShoplensError, match="cannot isolate a submission"):
            go(isolation="required")


HARNESS = """
import sys
from pathlib import Path
from hostile.stage import LIMITS
from shoplens.challenge.running import run_submission
def told(stage, done, total):
    if stage == "run" and Path(sys.argv[4]).exists() or stage == "run" and done >= 1:
        print("running", flush=True)
run_submission(Path(sys.argv[1]), Path(sys.argv[2]), limits=LIMITS, isolation=sys.argv[3],
               progress=told)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's death on Linux")
@pytest.mark.parametrize(
    "isolation",
    [
        "auto",
        pytest.param(
            "none",
            marks=pytest.mark.skipif(
                sys.platform == "linux" and not may_run_without_rights(),
                reason="this Python lies in a private folder",
            ),
        ),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_harness_that_is_stopped_leaves_nothing_running(
    isolation: str, number: signal.Signals, tmp_path: Path, dataset: Path
) -> None:
    body = "if os.fork() == 0: os.setsid()\nwhile True: time.sleep(0.1)"
    folder = write(Case("lasting", "", body), tmp_path / "submission", {})
    words = [sys.executable, "-c", HARNESS, folder, dataset, isolation, tmp_path / "none"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
    harness = subprocess.Popen(
        [str(word) for word in words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert harness.stdout is not None
    with harness.stdout:
        assert harness.stdout.readline() == b"running\n"
        harness.send_signal(number)
        assert harness.wait() == -number
    deadline = time.monotonic() + 60
    while leftovers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert leftovers() == []


class TestCommand:
    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        code = (
            "import sys; "
            "from shoplens.cli import main; sys.argv[1:1] = ['challenge', 'run']; sys.exit(main())"
        )
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"},
        )

    def test_it_prints_scores_and_writes_json(self, tmp_path: Path, dataset: Path) -> None:
        folder = write(Case("good", "", GOOD), tmp_path / "submission", {})
        done = self.run(folder, "--data", dataset, "--json", "-", "--out", tmp_path / "run")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["verdict"] == "ok"
        assert "map@1000" in done.stderr
        assert np.load(tmp_path / "run" / "ranking.npz")["ids"].shape == (2, 4)

    def test_a_verdict_is_an_exit_code(self, tmp_path: Path, dataset: Path) -> None:
        folder = write(Case("bad", "", "raise ValueError('why')"), tmp_path / "submission", {})
        done = self.run(folder, "--data", dataset, "--json", tmp_path / "out.json")
        assert done.returncode == 1
        assert "crashed: predict: ValueError: why" in done.stdout
        assert "Traceback" in done.stderr
        assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "crashed"

    def test_a_faulty_submission_is_a_verdict(self, tmp_path: Path, dataset: Path) -> None:
        folder = write(Case("bad", "", GOOD), tmp_path / "submission", {})
        (folder / "aicrowd.json").write_text("{")
        done = self.run(folder, "--data", dataset, "--json", tmp_path / "out.json")
        assert done.returncode == 1
        record = json.loads((tmp_path / "out.json").read_text())
        assert record["verdict"] == "cannot_start"
        assert "aicrowd.json" in record["reason"]

    @pytest.mark.parametrize("python", ["/nope", "bin/python", "no-such-program", "/etc/passwd"])
    def test_an_interpreter_that_is_none(self, python: str, tmp_path: Path, dataset: Path) -> None:
        folder = write(Case("good", "", GOOD), tmp_path / "submission", {})
        done = self.run(folder, "--data", dataset, "--python", python)
        assert done.returncode == 1
        assert "cannot_start: the interpreter" in done.stdout
        assert "Traceback" not in done.stderr

    def test_an_interpreter_is_found_on_the_path(
        self, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write(Case("good", "", GOOD), tmp_path / "submission", {})
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        monkeypatch.setenv("PATH", path)
        done = self.run(folder, "--data", dataset, "--python", Path(sys.executable).name)
        assert done.returncode == 0, done.stderr

    def test_relaxed_pins_are_in_the_record(
        self, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = {"requirements.txt": "colours==1.21.5\n"}
        folder = write(Case("old", "", "raise ValueError", files=files), tmp_path / "old", {})
        for name in ("numpy", "colours"):
            write_wheel(tmp_path / "wheels", name, {f"{name}.py": ""}, version="2")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
        monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "cache"))
        words = (folder, "--data", dataset, "--out", tmp_path / "run")
        assert "--relax-pins" in self.run(*words).stderr
        done = self.run(*words, "--relax-pins", "--force")
        assert "note: requirements.txt asks for colours==1.21.5, which does not" in done.stderr
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        assert record["verdict"] == "crashed"
        assert record["relaxed_pins"] == [
            {"name": "colours", "asked": "==1.21.5", "installed": "2"}
        ]
        assert self.run(*words, "--relax-pins", "--python", sys.executable).returncode == 2

    def test_what_is_in_the_way_of_a_run_is_said_before_it(
        self, tmp_path: Path, dataset: Path
    ) -> None:
        folder = write(Case("good", "", GOOD), tmp_path / "submission", {})
        kept = tmp_path / "kept"
        kept.mkdir()
        (kept / "mine.txt").write_text("mine")
        for out, why in ((kept, "other than a run"), (Path("/proc/aa"), "cannot make")):
            for words in ([], ["--force"]):
                done = self.run(folder, "--data", dataset, "--out", out, *words)
                assert done.returncode == 1
                assert why in done.stderr
                assert done.stdout == ""
        assert [path.name for path in kept.iterdir()] == ["mine.txt"]
        out = tmp_path / "run"
        assert self.run(folder, "--data", dataset, "--out", out).returncode == 0
        again = self.run(folder, "--data", dataset, "--out", out)
        assert again.returncode == 1
        assert "--force" in again.stderr
        assert self.run(folder, "--data", dataset, "--out", out, "--force").returncode == 0

    def test_private(self, tmp_path: Path, dataset: Path) -> None:
        body = "print('told'); raise ValueError('told')"
        folder = write(Case("bad", "", body), tmp_path / "submission", {})
        done = self.run(folder, "--data", dataset, "--private")
        assert "told" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
