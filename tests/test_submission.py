"""Reading a submission's folder, and making its environment with real pip, offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from made_wheel import write_wheel

from shoplens.challenge.environment import Environment, folders_of, make_environment
from shoplens.challenge.installer import run_within, without_places
from shoplens.challenge.pins import RelaxedPin, relax_pins, unmet_requirements
from shoplens.challenge.requirements import read_requirements
from shoplens.challenge.submission import prepare_environment, read_submission
from shoplens.errors import DataError, MissingError, ShoplensError

CONFIG = {
    "challenge_id": "visual-product-recognition-challenge-2023",
    "authors": ["Ada", "Grace"],
    "gpu": True,
    "description": "two of us",
}


def submission(folder: Path, /, config: object = CONFIG, **files: str) -> Path:
    """Write a submission's folder; `requirements`, `apt` are texts of files."""
    (folder / "my_submission").mkdir(parents=True)
    (folder / "my_submission" / "user_config.py").write_text("class My_Ranker: ...\n")
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "aicrowd.json").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_a_submission_is_read_with_what_it_asks_for(tmp_path: Path) -> None:
    config = {**CONFIG, "grader_id": "x1", "tags": ["a"]}
    folder = submission(
        tmp_path / "s",
        config,
        requirements="# none yet\nnumpy<3\n",
        apt="libgl1  # OpenCV\n\n# nothing\nffmpeg git\n",
    )
    read = read_submission(folder)
    assert read.folder == folder.resolve()
    assert (read.config.challenge_id, read.config.authors) == (
        CONFIG["challenge_id"],
        ("Ada", "Grace"),
    )
    assert (read.config.gpu, read.config.description) == (True, "two of us")
    assert dict(read.config.others) == {"grader_id": "x1", "tags": ["a"]}
    assert read.requirements == folder.resolve() / "requirements.txt"
    assert read.apt_packages == ("libgl1", "ffmpeg", "git")
    assert read.notes == (
        "apt.txt asks for Debian packages, which shoplens does not install: libgl1, ffmpeg, git",
    )


def test_gpu_and_description_may_be_left_out(tmp_path: Path) -> None:
    folder = submission(tmp_path / "s", {"challenge_id": "c", "authors": ["a"]})
    read = read_submission(folder)
    assert (read.config.gpu, read.config.description) == (False, "")
    assert (read.requirements, read.apt_packages, read.notes) == (None, (), ())


def test_every_fault_is_named_at_once_with_its_place(tmp_path: Path) -> None:
    config = {"authors": "Ada", "gpu": "yes", "description": 3}
    folder = submission(tmp_path / "s", config, requirements="\n\nthing==${TOKEN}\n")
    with pytest.raises(DataError) as caught:
        read_submission(folder)
    assert [(f.file, f.row, f.column, f.value) for f in caught.value.faults] == [
        ("aicrowd.json", 0, "challenge_id", ""),
        ("aicrowd.json", 0, "authors", '"Ada"'),
        ("aicrowd.json", 0, "gpu", '"yes"'),
        ("aicrowd.json", 0, "description", "3"),
        ("requirements.txt", 3, "", "thing==${TOKEN}"),
    ]
    assert "5 faults" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ('{\n"authors": ["a"],\n}', "is not JSON"),
        ("[1]", "Expected `object`"),
        ("[" * 100_000, "Expected `object`"),
        ('{"authors": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_a_fault(tmp_path: Path, config: str, problem: str) -> None:
    folder = submission(tmp_path / "s", config)
    with pytest.raises(DataError) as caught:
        read_submission(folder)
    (fault,) = caught.value.faults
    assert fault.file == "aicrowd.json"
    assert problem in fault.problem


@pytest.mark.parametrize("name", ["aicrowd.json", "my_submission/user_config.py"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = submission(tmp_path / "s")
    (folder / name).unlink()
    with pytest.raises(MissingError, match=f"has no {name}"):
        read_submission(folder)


def test_no_folder_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="shoplens challenge new"):
        read_submission(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["aicrowd.json", "requirements.txt", "apt.txt", "my_submission/user_config.py"]
)
def test_links_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("0,gallery/0.jpg,product-7\n")
    folder = submission(tmp_path / "s")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    with pytest.raises(ShoplensError, match="leaves the submission's folder") as caught:
        read_submission(folder)
    assert "product-7" not in str(caught.value)


def test_a_pipe_or_a_huge_file_is_not_read(tmp_path: Path) -> None:
    folder = submission(tmp_path / "s", requirements="#" * (2**20 + 1))
    with pytest.raises(ShoplensError, match="at most"):
        read_submission(folder)
    (folder / "requirements.txt").unlink()
    os.mkfifo(folder / "requirements.txt")
    with pytest.raises(ShoplensError, match="must be a file"):
        read_submission(folder)


@pytest.mark.parametrize(
    "line",
    [
        "-r ../labels.csv",
        "-r../labels.csv",
        "--requirement=../labels.csv",
        "--requirem ../labels.csv",
        "-c ../labels.csv",
        "--constraint ../labels.csv",
        "-i https://example.org/simple --con ../labels.csv",
        "-r inner/../../labels.csv",
        "-r file:../labels.csv",
        "-r FILE:///labels.csv",
        "-r http://127.0.0.1:9/labels.txt",
        "\\\\-r ../labels.csv\\\\",
        "../other-1-py3-none-any.whl",
        "other @ file:///srv/other-1-py3-none-any.whl",
        "--find-links ..",
        "--find-links linked",
        "-e ./package",
        "numpy --config-settings=a=b",
        "--index-url file:///srv",
        "--index-url https://127.0.0.1:8080/simple",
        "-i https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "--find-links https://example.org/wheels",
        "--find-links inner",
        "-f inner",
        "--no-index",
        "--pre",
        "--trusted-host example.org",
        "https://127.0.0.1:8080/other-1-py3-none-any.whl",
        "HTTP://example.org/other-1-py3-none-any.whl",
        "git+https://example.org/other",
        "git+ssh://git@example.org/other.git#egg=other",
        "other @ https://example.org/other-1-py3-none-any.whl",
        "other[more]@https://example.org/other-1-py3-none-any.whl ; python_version > '3'",
        "other @ inner/other-1-py3-none-any.whl",
        "-e git+https://example.org/other",
        "//example.org/other-1-py3-none-any.whl",
        "numpy==1 --hash=sha256:00",
        "numpy; os_name == 'a -r ../labels.csv'",
        "numpy; os_name == '${HOME}'",
        "inner\\other.whl",
        "fetching-1-py3-none-any.whl",
        "nameless-1-py3-none-any.whl",
        "./zipped.zip",
        "circle.whl",
        "-r link.txt",
    ],
)
def test_requirements_are_names_and_wheels_of_the_folder(tmp_path: Path, line: str) -> None:
    (tmp_path / "labels.csv").write_text("0,gallery/0.jpg,product-7\n")
    folder = submission(tmp_path / "s", requirements=f"numpy\n{line}\n")
    (folder / "link.txt").symlink_to(tmp_path / "labels.csv")
    (folder / "linked").mkdir()
    (folder / "linked" / "a-1-py3-none-any.whl").symlink_to(tmp_path / "labels.csv")
    (folder / "circle.whl").symlink_to("circle.whl")
    (folder / "inner").mkdir()
    write_wheel(folder, "fetching", {}, "Requires-Dist: b @ http://127.0.0.1:8080/b.whl\n")
    write_wheel(folder, "nameless", {"other-1.dist-info/METADATA": "Name: other\n"})
    (folder / "zipped.zip").symlink_to(write_wheel(folder / "inner", "sound", {}))
    with pytest.raises(DataError) as caught:
        read_submission(folder)
    (fault,) = caught.value.faults
    assert (fault.file, fault.row, fault.value) == ("requirements.txt", 2, line)


def test_requirements_are_read_as_pip_does(tmp_path: Path) -> None:
    folder = submission(
        tmp_path / "s",
        requirements="A[x,y] == 1 # why\n-r more/other.txt\n  \n"
        "b \\\n  ==2 \\\n; python_version > '3'\n",
    )
    (folder / "more").mkdir()
    (folder / "more" / "other.txt").write_text("c\n-rother.txt\n--constraint=bounds.txt\n")
    (folder / "more" / "bounds.txt").write_text("d<3\n")
    read = read_requirements(folder / "requirements.txt", folder)
    assert read.lines == (
        "A[x,y]==1",
        "c",
        'b==2; python_version > "3"',
    )
    assert read.constraints == ("d<3",)
    assert read.faults == ()
    assert read.files == ()


@pytest.mark.parametrize("text", [None, "", "# nothing\n\n   # else\n"])
def test_asking_for_nothing_runs_in_this_environment(tmp_path: Path, text: str | None) -> None:
    files = {} if text is None else {"requirements": text}
    read = read_submission(submission(tmp_path / "s", **files))
    assert read.requirements is None
    assert prepare_environment(read, tmp_path / "environments") == Environment(Path(sys.executable))
    assert not (tmp_path / "environments").exists()


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip find nothing but what lies in the folder returned: a stand-in for NumPy."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "numpy", {"numpy.py": "def say(): print('numpy')"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def said(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_environment_is_made_once_and_holds_what_was_asked_for(
    tmp_path: Path, offline: Path
) -> None:
    write_wheel(offline, "colours", {"colours.py": "def say(): print('teal')"})
    environments = tmp_path / "environments"
    told: list[tuple[int, int]] = []

    def progress(_stage: str, done: int, total: int) -> None:
        told.append((done, total))

    first = read_submission(submission(tmp_path / "a", requirements="colours>=1\n"))
    # A module of the submission that pip, too, would import.
    (first.folder / "json.py").write_text("raise SystemExit('imported')\n")
    python = prepare_environment(first, environments, progress=progress).python
    assert python != Path(sys.executable)
    assert said(python, "import colours, numpy; colours.say(); numpy.say()") == "teal\nnumpy"
    script = subprocess.run([python.with_name("say-colours")], capture_output=True, check=True)
    assert script.stdout == b"teal\n"
    assert told == [(0, 2), (1, 2), (2, 2)]

    assert folders_of(python) == (python.parents[1], Path(sys.base_prefix))
    assert folders_of(Path(sys.executable)) is None

    # What another submission asks for is the same: nothing is made, for nothing can be found now.
    for file in offline.iterdir():
        file.unlink()
    second = read_submission(submission(tmp_path / "b", requirements="colours>=1  # warm\n"))
    assert prepare_environment(second, environments).python == python
    assert len(list(environments.iterdir())) == 2  # The environment and its stamp.


def test_local_wheels_are_installed_and_told_apart_by_their_bytes(
    tmp_path: Path, offline: Path
) -> None:
    line = "colours-1-py3-none-any.whl ; python_version >= '3'"
    folder = submission(tmp_path / "s", requirements=f"{line}\n")
    write_wheel(folder, "colours", {"colours.py": "shade = 'teal'\n"})
    environments = tmp_path / "environments"
    first = prepare_environment(read_submission(folder), environments).python
    assert said(first, "import colours; print(colours.shade)") == "teal"
    write_wheel(folder, "colours", {"colours.py": "shade = 'plum'\n"})
    second = prepare_environment(read_submission(folder), environments).python
    assert said(second, "import colours; print(colours.shade)") == "plum"
    assert said(first, "import colours; print(colours.shade)") == "teal"


BACKEND = """
import os, pathlib
pathlib.Path("ran.txt").write_text("")
def build_wheel(*_, **__):
    raise SystemExit(f"saw {sorted(os.environ)}")
"""


def write_source(folder: Path) -> Path:
    """Write a package that runs code of its own to be built."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "nosy"\nversion = "1"\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    return folder


@pytest.mark.parametrize("line", ["./nosy", "./nosy.zip"])
def test_what_is_no_wheel_is_a_fault(tmp_path: Path, line: str) -> None:
    folder = submission(tmp_path / "s", requirements=line)
    write_source(folder / "nosy")
    shutil.make_archive(str(folder / "nosy"), "zip", folder / "nosy")
    with pytest.raises(DataError) as caught:
        read_submission(folder)
    (fault,) = caught.value.faults
    assert "only wheels are installed" in fault.problem


def test_nothing_of_a_submission_runs_while_it_is_installed(tmp_path: Path, offline: Path) -> None:
    folder = submission(tmp_path / "s", requirements="nosy\n")
    write_source(folder / "nosy")
    shutil.make_archive(str(offline / "nosy-1"), "zip", folder / "nosy")
    (folder / "json.py").write_text("import pathlib; pathlib.Path('ran.txt').write_text('')\n")
    environments = tmp_path / "environments"
    with pytest.raises(ShoplensError, match="Only wheels are installed"):
        prepare_environment(read_submission(folder), environments)
    assert list(tmp_path.rglob("ran.txt")) == []
    assert list(environments.iterdir()) == []


def test_a_wheel_cannot_slip_code_into_pip(tmp_path: Path, offline: Path) -> None:
    folder = submission(tmp_path / "s", requirements="./sly-1-py3-none-any.whl\n")
    evil = f"import pathlib; pathlib.Path({str(tmp_path / 'ran.txt')!r}).write_text('')\n"
    names = ["pip/__init__.py", "pip/_internal/__init__.py", "pip/_internal/self_outdated_check.py"]
    write_wheel(folder, "sly", {**dict.fromkeys(names, evil), "sly.pth": evil})
    prepare_environment(read_submission(folder), tmp_path / "environments")
    assert not (tmp_path / "ran.txt").exists()


def test_an_environment_that_grows_too_large_is_removed(tmp_path: Path, offline: Path) -> None:
    write_wheel(offline, "large", {"large.py": "#" * 10**6})
    folder = submission(tmp_path / "s", requirements="large\n")
    requirements = read_requirements(folder / "requirements.txt", folder)
    environments = tmp_path / "environments"
    with pytest.raises(ShoplensError, match=r"more than 0\.0005 GB"):
        make_environment(requirements, environments, size=500_000)
    assert list(environments.iterdir()) == []


def test_what_passes_a_bound_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert run_within(command, tmp_path, 60, lambda: True) == ("", None)
    assert time.monotonic() - started < 30


def test_pips_last_lines_say_what_failed(tmp_path: Path, offline: Path) -> None:
    folder = submission(tmp_path / "s", requirements="no-such-thing==4\n")
    with pytest.raises(ShoplensError) as caught:
        prepare_environment(read_submission(folder), tmp_path / "environments")
    assert "No matching distribution found for no-such-thing==4" in str(caught.value)


def test_pips_words_name_no_place_of_the_machine(tmp_path: Path, offline: Path) -> None:
    line = "./colours-1-py3-none-any.whl"
    folder = submission(tmp_path / "the team's", requirements=f"{line}\nno-such-thing\n")
    other = write_wheel(folder, "colours", {}, version="2")
    other.rename(folder / line)
    with pytest.raises(ShoplensError) as caught:
        prepare_environment(read_submission(folder), tmp_path / "environments")
    told = str(caught.value)
    assert "colours" in told
    for place in (tmp_path, tmp_path.name, Path(sys.prefix), Path.home(), "asked", "file:"):
        assert str(place) not in told


def test_places_are_taken_out_of_text() -> None:
    text = (
        "Processing /srv/teams/it's mine/a-1.whl and ./wheels/b-1.whl (from -r /tmp/x/asked.txt)\n"
        "Looking at https://user:word@index.example.org/simple/a, file:///etc/a and C:\\x\\y\n"
        "No matching distribution for and/or==1.2/3"
    )
    assert without_places(text, [Path("/srv/teams/it's mine")]) == (
        "Processing ... and ./wheels/b-1.whl (from -r ...)\n"
        "Looking at ..., ... and ...\n"
        "No matching distribution for and/or==1.2/3"
    )


def test_a_half_made_environment_is_never_used(tmp_path: Path, offline: Path) -> None:
    folder = submission(tmp_path / "s", requirements="numpy\n")
    environments = tmp_path / "environments"
    made = prepare_environment(read_submission(folder), environments).python
    (stamp,) = environments.glob("*.json")
    # As after a kill: the folder is there, its stamp is not.
    stamp.unlink()
    again = prepare_environment(read_submission(folder), environments).python
    assert again != made


@pytest.mark.parametrize(
    ("asked", "installed"),
    [
        ("==1.21.5", "1.22"),
        ("==1.21.*", "1.22"),
        ("~=1.21.5", "1.22"),
        ("===1.21.5+cu113", "1.22"),
        ("==3", "2.1"),
        ("==1.22.0", None),
        ("==1.*", None),
        ("~=1.10", None),
        (">=3", None),
        ("<1", None),
        ("", None),
        ("==1.21.5; python_version < '3'", None),
    ],
)
def test_the_nearest_version_stands_in_for_a_pin(asked: str, installed: str | None) -> None:
    lines, relaxed = relax_pins([f"a{asked}", "./b.whl"], lambda _: ("2.1", "1.22", "1.9.1"))
    if installed is None:
        assert lines == (f"a{asked}", "./b.whl")
        assert relaxed == ()
    else:
        assert lines == (f"a=={installed}", "./b.whl")
        assert relaxed == (RelaxedPin("a", asked, installed),)


def test_pins_that_do_not_exist_are_relaxed_and_told(tmp_path: Path, offline: Path) -> None:
    for number in ("3", "4.10", "4.9"):
        write_wheel(offline, "colours", {"colours.py": f"v = '{number}'\n"}, version=number)
    folder = submission(
        tmp_path / "s", requirements="colours==4.2\nnumpy==0.9\n-c bounds.txt\n", bounds="shades==1"
    )
    read = read_submission(folder)
    environments = tmp_path / "environments"
    with pytest.raises(ShoplensError, match="--relax-pins"):
        prepare_environment(read, environments)
    made = prepare_environment(read, environments, relaxing_pins=True)
    assert said(made.python, "import colours; print(colours.v)") == "4.9"
    assert made.relaxed_pins == (
        RelaxedPin("colours", "==4.2", "4.9"),
        RelaxedPin("numpy", "==0.9", "1"),
    )
    assert "colours==4.2, which does not exist for Python" in str(made.relaxed_pins[0])
    assert "colours 4.9 was installed" in str(made.relaxed_pins[0])
    for file in offline.iterdir():
        file.unlink()
    assert prepare_environment(read, environments, relaxing_pins=True) == made


def test_what_this_python_lacks_is_told(tmp_path: Path) -> None:
    lines = "numpy==0.9\nclick>=1\nno-such-thing\nother==1; python_version < '3'\n"
    folder = submission(tmp_path / "s", requirements=lines)
    assert unmet_requirements(folder) == (
        f"requirements.txt asks for numpy==0.9; this Python has {version('numpy')}",
        "requirements.txt asks for no-such-thing; this Python has none",
    )
    assert unmet_requirements(submission(tmp_path / "none")) == ()


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def test_an_endless_installation_is_ended_with_all_it_started(tmp_path: Path) -> None:
    output, code = run_within([sys.executable, "-c", PARENT], tmp_path, seconds=5)
    assert code is None
    word, child = output.split()
    assert word == "child"
    end = time.monotonic() + 60
    while is_running(int(child)):
        assert time.monotonic() < end, f"{child} still runs"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
