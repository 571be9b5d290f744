#!/usr/bin/env python3
"""Everything a developer runs, with nothing but Python 3.10 or newer.

    python3 make.py demo         set up, search and score the sample data, write a page of results
    python3 make.py test         set up and run the tests
    python3 make.py check        lint and types
    python3 make.py wheel        build the wheel and try it in an environment of its own
    python3 make.py coverage     run the tests and say what they reach; fails below the floor
    python3 make.py release      build wheel and sdist and try them on the lowest and highest Python
    python3 make.py docs         build the documentation as a site, strictly (in site/)
    python3 make.py training     test training and export (installs torch, in .venv-training)
    python3 make.py ray          test Ray, Lance and OpenVINO (installs them, in .venv-ray)
    python3 make.py milvus       test a catalogue on a Milvus server (installs one, in .venv-milvus)
    python3 make.py web          check and build the page and test it in a browser (in .venv-web)
    python3 make.py conventions  compare our metrics with other libraries'
    python3 make.py model        train the built-in model again (--tables FOLDER)
    python3 make.py steps        measure the steps towards the built-in model (--tables FOLDER)
    python3 make.py choice       measure networks and sizes that could be built in (--tables FOLDER)
    python3 make.py reach        measure what more photos would give it (--tables FOLDER)
    python3 make.py bench        measure and write docs/benchmarks.md
    python3 make.py engines      measure the catalogue beside other engines (in .venv-engines)
    python3 make.py figures      fill the figures in README and docs from the measurements

Each sets up the environment it needs, in a folder beside this file, and uses it again next time.
What stands after the command's name is handed on: `python3 make.py test -k box`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MINIMUM = (3, 10)
MILVUS_SERVER = "milvus==2.3.5"
"""The newest server that is on PyPI for Linux."""
CHROMIUM = Path(os.environ.get("SHOPLENS_CHROMIUM", "/usr/bin/chromium"))
"""The browser that tests the page."""


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a command, and stop with its exit code when it fails."""
    shown = [str(word) for word in command]
    print("+", " ".join(shown), flush=True)
    code = subprocess.run(shown, cwd=folder, check=False).returncode
    if code:
        raise SystemExit(code)


def python_in(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(environment: Path) -> Path:
    """Create an empty virtual environment and return its interpreter."""
    try:
        venv.create(environment, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "this Python cannot create virtual environments; on Debian and Ubuntu: "
            "apt install python3-venv"
        ) from None
    return python_in(environment)


def environment(name: str, groups: tuple[str, ...] = (), extras: str = "") -> Path:
    """Return the interpreter of an environment with shoplens and dependency groups installed.

    It is made again when pyproject.toml has changed since.
    """
    folder = ROOT / name
    python = python_in(folder)
    project = (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(project).hexdigest() + str(groups) + extras
    stamp = folder / "installed-for.txt"
    if python.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return python
    create(folder)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    packages = ["-e", str(ROOT) + extras]
    if groups:
        # Groups need pip 25.1, which Python 3.10 to 3.12 do not come with.
        run(*pip, "--upgrade", "pip>=25.1")
        packages += [f"--group={group}" for group in groups]
    run(*pip, *packages)
    stamp.write_text(wanted)
    return python


def demo(arguments: list[str]) -> None:
    """Run the main job on the sample data."""
    python = environment(".venv-demo", extras="[serve]")
    run(python, "-m", "shoplens", "demo", ROOT / "examples" / "furniture", *arguments)
    print(
        "To search with photos of your own, and draw the box, run this and open "
        f"http://127.0.0.1:8000/ in a browser:\n  {python} -m shoplens serve --demo"
    )


def test(arguments: list[str]) -> None:
    """Run the tests; all of them in CI (the variable CI is set) with `coverage`."""
    if os.environ.get("CI") and not arguments:
        coverage(arguments)
    else:
        run(environment(".venv", ("dev",)), "-m", "pytest", *arguments)


def check(arguments: list[str]) -> None:
    """Lint and type-check."""
    python = environment(".venv", ("dev",))
    run(python, "-m", "ruff", "check", ".")
    run(python, "-m", "ruff", "format", "--check", ".")
    # What needs torch is checked where torch is: see `training`.
    core = (
        "--follow-imports=silent",
        "--exclude=src/shoplens/(training|models/hub)/",
        "src",
        "make.py",
    )
    run(python, "-m", "mypy", *core)


def wheel(arguments: list[str]) -> None:
    """Build the wheel, install it alone, and run every command of the README."""
    python = environment(".venv", ("dev",))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(python, "-m", "build", "--wheel", "--outdir", folder / "dist")
        (built,) = (folder / "dist").glob("*.whl")
        try_install(built, create(folder / "environment"), folder)
        print(f"{built.name}: {built.stat().st_size / 1e6:.1f} MB")


def try_install(package: Path, python: Path, folder: Path) -> None:
    """Install a package alone in an environment, and do what the README shows."""
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "-q", package)
    # Outside the checkout, so that nothing but the package can be imported.
    (folder / "elsewhere").mkdir()
    run(python, ROOT / "tests" / "clean_install.py", package, folder=folder / "elsewhere")


def coverage(arguments: list[str]) -> None:
    """Run the tests and say which lines they reach, in processes that they start too.

    What counts and the least share that passes are in pyproject.toml.
    """
    python = environment(".venv", ("dev",))
    run(python, "-m", "coverage", "erase")
    run(python, "-m", "coverage", "run", "-m", "pytest", *arguments)
    run(python, "-m", "coverage", "combine", "-q")
    run(python, "-m", "coverage", "report")


def release(arguments: list[str]) -> None:
    """Build the wheel and the source archive, check them and try each; upload nothing.

    The packages are in dist/ then. Each is tried in an environment of its own, on the lowest and
    the highest Python that pyproject.toml names.
    """
    python = environment(".venv-release", ("release",))
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "dist"
        # The wheel is built from the source archive: both hold the same.
        run(python, "-m", "build", "--outdir", built)
        packages = sorted(built.iterdir())
        run(python, "-m", "twine", "check", "--strict", *packages)
        for interpreter in lowest_and_highest():
            for package in packages:
                folder = Path(tempfile.mkdtemp(dir=scratch))
                run(interpreter, "-m", "venv", folder / "environment")
                try_install(package, python_in(folder / "environment"), folder)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(built, ROOT / "dist")
    print("\n".join(f"dist/{package.name}" for package in packages))


def lowest_and_highest() -> list[str]:
    """Return the interpreters to try a release on; says which of them this machine lacks."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    minors = [int(minor) for minor in re.findall(r'Python :: 3\.(\d+)"', text)]
    found = []
    for minor in (min(minors), max(minors)):
        name = f"python3.{minor}"
        command = [name, "-c", "import sys; print(sys.executable)"]
        # A name can be there and lead to nothing, as pyenv's do.
        answer = (
            subprocess.run(command, capture_output=True, text=True, check=False)
            if shutil.which(name)
            else None
        )
        if answer is not None and answer.returncode == 0:
            found.append(answer.stdout.strip())
        else:
            print(f"SKIPPED: {name} is not on this machine, so the release is not tried on it")
    if not found:
        raise SystemExit("neither the lowest nor the highest Python is here to try a release on")
    return found


def docs(arguments: list[str]) -> None:
    """Build the site of the documentation; a broken link or an unexplained public name stops it."""
    # Its author's advertisement of a successor.
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    python = environment(".venv-docs", ("docs",))
    run(python, "-m", "mkdocs", "build", "--strict", *arguments)
    print(f"open {ROOT / 'site' / 'index.html'}")


def training(arguments: list[str]) -> None:
    """Type-check and test what the extras for training hold."""
    python = training_environment()
    # What needs torch; `check` has the packages of the rest.
    run(python, "-m", "mypy", "src/shoplens/training", "src/shoplens/models")
    run(python, "-m", "pytest", "tests_training", *arguments)


def ray(arguments: list[str]) -> None:
    """Test what other extras hold: a Ray cluster of several nodes here, Lance, OpenVINO."""
    python = environment(".venv-ray", ("ray",), extras="[ray,lance,remote,openvino]")
    run(python, "-m", "pytest", "tests_ray", *arguments)
    elsewhere = ("test_vectors_lance.py", "test_openvino.py", "test_sources.py")
    run(python, "-m", "pytest", *(f"tests/{name}" for name in elsewhere), *arguments)


def milvus(arguments: list[str]) -> None:
    """Test the catalogue on a Milvus server, in a network of their own (Linux on x86-64)."""
    python = environment(".venv-milvus", ("milvus",), extras="[milvus,parquet]")
    # Old, and never in one environment with what it serves.
    server = ROOT / ".venv-milvus-server"
    if not (server / "installed").is_file():
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "-q")
        run(create(server), *pip, MILVUS_SERVER)
        (server / "installed").touch()
    beside = (python, "scripts/milvus_server.py", "--python", python_in(server))
    run(*beside, python, "-m", "pytest", "tests_milvus", *arguments)
    # Several at once: they wait for the server most of the time.
    names = ("behaviour", "chains", "congruence", "regions")
    same = (f"tests/test_catalog_{name}.py" for name in names)
    run(*beside, python, "-m", "pytest", "-n", "4", *same, "-k", "milvus", *arguments)


def web(arguments: list[str]) -> None:
    """Check the page: types, sizes, that its sources give what is committed; test it in a browser.

    Node.js with npm must be there. Chromium is installed where apt-get can do that.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("this needs Node.js 20 or newer with npm: https://nodejs.org")
    run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=ROOT / "web")
    run(npm, "run", "--silent", "check", folder=ROOT / "web")
    require_chromium()
    python = environment(".venv-web", ("web",), extras="[serve]")
    run(python, "-m", "pytest", "tests_web", *arguments)


def require_chromium() -> None:
    """Install Debian's Chromium if there is none."""
    if CHROMIUM.is_file():
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SystemExit(
            f"this needs Chromium at {CHROMIUM} (apt install chromium), or the variable "
            "SHOPLENS_CHROMIUM with the path of one"
        )
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium")


def conventions(arguments: list[str]) -> None:
    """Compare our metrics with those of ranx, trec_eval and scikit-learn."""
    python = environment(".venv-conventions", ("conventions",))
    run(python, "-m", "pytest", "tests/test_metric_conventions.py", *arguments)


def model(arguments: list[str]) -> None:
    """Train the built-in model again."""
    run(training_environment(), "scripts/build_model.py", *arguments)


def training_environment() -> Path:
    """Return the interpreter of the environment with torch."""
    return environment(".venv-training", ("training",), extras="[train,hub]")


def steps(arguments: list[str]) -> None:
    """Measure what each step towards the built-in model gained."""
    run(training_environment(), "bench/steps.py", *arguments)


def choice(arguments: list[str]) -> None:
    """Measure accuracy against cost of the networks and sizes that could be built in."""
    run(training_environment(), "bench/choice.py", *arguments)


def reach(arguments: list[str]) -> None:
    """Measure what more photos would give the built-in model."""
    run(training_environment(), "bench/reach.py", *arguments)


def bench(arguments: list[str]) -> None:
    """Measure everything and write docs/benchmarks.md.

    What compares with torch is run in the environment for training, which is set up then.
    """
    run(environment(".venv-bench", ("bench",)), "bench/run.py", *arguments)


def engines(arguments: list[str]) -> None:
    """Measure the catalogue beside other search engines."""
    run(engines_environment(), "bench/catalog_search.py", *arguments)


def engines_environment() -> Path:
    """Return the interpreter of the environment with other search engines."""
    return environment(".venv-engines", ("engines",), extras="[ann]")


def figures(arguments: list[str]) -> None:
    """Fill the figures in README and docs from the measurements there are."""
    run(environment(".venv", ("dev",)), "bench/figures.py", *arguments)


COMMANDS = {
    f.__name__: f
    for f in (
        demo,
        test,
        check,
        wheel,
        coverage,
        release,
        docs,
        training,
        ray,
        milvus,
        web,
        conventions,
        model,
        steps,
        choice,
        reach,
        bench,
        engines,
        figures,
    )
}


def main() -> None:
    """Run the command named first on the command line."""
    if sys.version_info < MINIMUM:
        raise SystemExit(f"shoplens needs Python 3.10 or newer; this is {sys.version.split()[0]}")
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        raise SystemExit(2)
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
