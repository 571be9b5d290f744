"""Run by `make.py wheel` with the wheel installed alone: what a plain install must be able to do.

Not a pytest file: pytest is not installed there. The argument is the wheel (or source archive).
Every command that README.md shows is run in its order, in an empty folder, with the sample data.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import shoplens
from shoplens.models import list_models

README = Path(__file__).parents[1] / "README.md"
SAMPLE = Path(shoplens.__file__).parent / "sample"


def require_a_light_install() -> None:
    installed = {d.metadata["Name"].lower() for d in distributions()}
    unwanted = installed & {"torch", "torchvision", "pyarrow", "opencv-python", "scipy", "pandas"}
    if unwanted:
        raise SystemExit(f"the core install brought {sorted(unwanted)}")
    if version("shoplens") != shoplens.__version__:
        raise SystemExit("metadata and package disagree about the version")


def require_the_install_line_of_an_extra() -> None:
    """A needed extra that is missing must say how to get it, with exit code 3."""
    command = [sys.executable, "-m", "shoplens", "embed", SAMPLE, "-o", "vectors.parquet"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 3 or "pip install 'shoplens[parquet]'" not in result.stderr:
        raise SystemExit(f"missing extra: exit code {result.returncode}, {result.stderr}")


def require_the_credits_of_models() -> None:
    """The licence CC-BY asks that authors are named wherever the models go."""
    for info in list_models():
        for file in re.findall(r"shoplens/\S+\.csv", " ".join(info.sources)):
            if not (Path(shoplens.__file__).parents[1] / file).is_file():
                raise SystemExit(f"model {info.name} names {file}, which was not installed")


def commands_of(page: Path) -> list[str]:
    """Return the lines of a page's blocks of shell commands, without their comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for kind, block in blocks if not kind for line in block.splitlines()]
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def bring_what_the_readme_has_at_hand() -> None:
    """Put photos, and rankings to compare, where the README's commands look for them."""
    shutil.copytree(SAMPLE / "gallery", "photos")
    shutil.copy(next((SAMPLE / "queries").iterdir()), "snapshot.jpg")
    subprocess.run([sys.executable, "-m", "shoplens", "rank", SAMPLE, "-o", "a.npz"], check=True)
    shutil.copy("a.npz", "b.npz")


def run(line: str, folder: Path, package: str) -> Path:
    """Run a line of the README and return the folder that it leads to."""
    for command in line.split(" '&&' "):
        words = [str(SAMPLE) if word == "DATASET" else word for word in shlex.split(command)]
        print("$", shlex.join(words), flush=True)
        match words:
            case ["python3", "make.py", *_]:
                continue  # What a checkout is needed for.
            case ["cd", place]:
                folder = folder / place
                continue
            case ["pip", "install", what]:
                # `.` is the checkout: here, what was built from it.
                words = ["-m", "pip", "install", "-q", package + what.removeprefix(".")]
            case ["shoplens", "serve", *rest]:
                # It would serve until it is stopped.
                words = ["-m", "shoplens", "serve", "--check", *rest]
            case ["shoplens", *rest]:
                words = ["-m", "shoplens", *rest]
            case ["python", *rest]:
                words = rest
            case _:
                raise SystemExit(f"README.md shows a command that is not known here: {command}")
        code = subprocess.run([sys.executable, *words], cwd=folder, check=False).returncode
        if code:
            raise SystemExit(f"exit code {code}: {command}")
    return folder


def main() -> None:
    """Check the install, then do what the README shows."""
    require_a_light_install()
    require_the_install_line_of_an_extra()
    require_the_credits_of_models()
    bring_what_the_readme_has_at_hand()
    os.environ["SHOPLENS_CACHE"] = str(Path("cache").absolute())
    folder = Path()
    lines = commands_of(README)
    for line in lines:
        folder = run(line, folder if line.startswith(("python ", "shoplens challenge")) else Path(),
                     sys.argv[1])  # fmt: skip
    if not Path("shoplens-demo.html").read_text(encoding="utf-8").startswith("<!doctype html>"):
        raise SystemExit("shoplens demo wrote no page")
    print(f"clean install of shoplens {shoplens.__version__}: ok, {len(lines)} commands of README")


if __name__ == "__main__":
    main()
