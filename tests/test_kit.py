"""`shoplens challenge new`, and what it writes."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from conftest import ROOT, Run

from shoplens.challenge.kit import write_submission
from shoplens.challenge.submission import prepare_environment, read_submission
from shoplens.cli.commands import shoplens
from shoplens.errors import ShoplensError

FILES = {
    ".gitignore",
    "README.md",
    "aicrowd.json",
    "apt.txt",
    "local_evaluation.py",
    "my_submission/__init__.py",
    "my_submission/aicrowd_wrapper.py",
    "my_submission/random_ranker.py",
    "my_submission/shoplens_ranker.py",
    "my_submission/user_config.py",
    "requirements.txt",
}


def evaluated(folder: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess:
    """Run a submission's local evaluation from elsewhere."""
    return subprocess.run(
        [sys.executable, folder / "local_evaluation.py", *words],
        cwd=folder.parent,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_new_writes_a_submission_and_says_what_is_next(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "far" / "my-first"
    result = run("challenge", "new", folder, "--json", "-")
    assert result.code == 0
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert written == FILES
    assert result.json == {"folder": str(folder), "ranker": "shoplens", "files": sorted(FILES)}
    assert f"cd {folder}" in result.err
    assert "python local_evaluation.py" in result.err
    assert "shoplens challenge run . --data " in result.err
    assert [path.name for path in folder.parent.iterdir()] == ["my-first"]


def test_it_carries_its_name(tmp_path: Path) -> None:
    write_submission(tmp_path / "a", ranker="shoplens")
    assert (tmp_path / "a" / "README.md").read_text().startswith("# a\n")
    write_submission(tmp_path / "b", name='Zoë\'s "first"', ranker="shoplens")
    assert (tmp_path / "b" / "README.md").read_text().startswith('# Zoë\'s "first"\n')
    assert json.loads((tmp_path / "b" / "aicrowd.json").read_text())["description"] == (
        'Zoë\'s "first"'
    )
    for name in ("", " ", "two\nlines"):
        with pytest.raises(ShoplensError, match="must be one line"):
            write_submission(tmp_path / "c", name=name, ranker="shoplens")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, run: Run) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").write_text("mine")
    result = run("challenge", "new", tmp_path / "full")
    assert result.code == 1
    assert "exists and is not empty" in result.err
    assert [path.name for path in tmp_path.rglob("*")] == ["full", ".hidden"]
    (tmp_path / "file").write_text("mine")
    assert run("challenge", "new", tmp_path / "file").code == 1


def test_an_empty_folder_is_filled_where_it_is(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert run("challenge", "new", ".").code == 0
    assert {path.as_posix() for path in Path().rglob("*") if path.is_file()} == FILES
    assert Path("README.md").read_text().startswith("# empty\n")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("ranker", ["shoplens", "random"])
def test_a_new_submission_scores_itself(
    tmp_path: Path, make_dataset: Callable[..., Path], ranker: str
) -> None:
    data = make_dataset()
    folder = tmp_path / "mine"
    write_submission(folder, ranker=ranker)
    result = evaluated(folder, "--data", "dataset")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"data      {data}: 2 queries, 3 in gallery"
    scores = dict(line.split(maxsplit=2)[:2] for line in lines)
    # The same picture on both sides: only a ranker that looks finds it.
    assert (scores["map@1000"] == "1.0000") == (ranker == "shoplens")


def test_packages_in_other_versions_are_told(
    tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    make_dataset()
    write_submission(tmp_path / "mine", ranker="random")
    (tmp_path / "mine" / "requirements.txt").write_text("numpy==1.21.5\n")
    result = evaluated(tmp_path / "mine", "--data", "dataset")
    assert "note      requirements.txt asks for numpy==1.21.5; this Python has" in result.stdout


def test_the_environment_names_the_data(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    data = make_dataset()
    write_submission(tmp_path / "mine", ranker="random")
    result = evaluated(tmp_path / "mine", AICROWD_DATASET_DIR=str(data))
    assert result.stdout.startswith(f"data      {data}: ")


def test_without_data_it_scores_the_sample_that_ships(tmp_path: Path, sample: Path) -> None:
    write_submission(tmp_path / "mine", ranker="random")
    result = evaluated(tmp_path / "mine")
    assert result.stdout.startswith(f"data      {sample}: 40 queries, 40 in gallery")


def test_an_answer_that_is_refused_is_explained(
    tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    make_dataset()
    folder = tmp_path / "mine"
    write_submission(folder, ranker="random")
    (folder / "my_submission" / "user_config.py").write_text(
        "from my_submission.random_ranker import RandomRanker\n"
        "class My_Ranker(RandomRanker):\n"
        "    def predict_product_ranks(self):\n"
        "        answer = super().predict_product_ranks()\n"
        "        answer[1, 2] = answer[1, 0]\n"
        "        return answer\n"
    )
    result = evaluated(folder, "--data", "dataset")
    assert result.returncode == 1
    assert "row 1, column 2" in result.stdout
    assert "map@1000" not in result.stdout


def test_data_without_products_is_refused_before_the_work(
    tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    data = make_dataset()
    with (data / "queries.csv").open(newline="") as stream:
        rows = [row[:-1] for row in csv.reader(stream)]
    (data / "queries.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    write_submission(tmp_path / "mine", ranker="random")
    result = evaluated(tmp_path / "mine", "--data", "dataset")
    assert result.returncode == 1
    assert "error: 2 of 2 query photos have no product_id" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_is_a_sound_submission_that_needs_no_installing(tmp_path: Path) -> None:
    write_submission(tmp_path / "mine", ranker="shoplens")
    read = read_submission(tmp_path / "mine")
    assert read.config.authors == ("your-name",)
    assert (read.requirements, read.apt_packages, dict(read.config.others)) == (None, (), {})
    assert prepare_environment(read, tmp_path / "none").python == Path(sys.executable)


def documented(file: Path) -> tuple[list[list[str]], list[str]]:
    """Return the shell commands, split into words, and the Python code that a page shows."""
    text = file.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in blocks if not kind for line in block.splitlines()]
    lines += re.findall(r"`((?:shoplens|python) [^`\n]+)`", text)
    commands = [shlex.split(line, comments=True) for line in lines]
    return commands, [block for kind, block in blocks if kind == "python"]


@pytest.mark.parametrize(
    "page", ["docs/challenge.md", "src/shoplens/challenge/starter_kit/README.md"]
)
def test_what_the_pages_tell_people_to_type_exists(page: str) -> None:
    commands, code = documented(ROOT / page)
    assert len(commands) >= 3
    for words in commands:
        if words[0] == "python":
            assert words[1] in FILES
        if words[0] != "shoplens":
            continue
        command: click.Command = shoplens
        rest = words[1:]
        while isinstance(command, click.Group) and rest:
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None, words
            command, rest = found, rest[1:]
        # The parser alone: it knows the options and opens no files.
        command.make_parser(click.Context(command)).parse_args(rest)
    for block in code:
        exec(compile(block, page, "exec"), {"__name__": "shown"})
