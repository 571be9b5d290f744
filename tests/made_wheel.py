"""Writing wheels, so that tests install something offline."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path


def write_wheel(
    folder: Path, name: str, files: Mapping[str, str], metadata: str = "", version: str = "1"
) -> Path:
    """Write a package; it has a script `say-NAME` that calls `NAME.say`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": f"[console_scripts]\nsay-{name} = {name}:say\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, **{f"{info}/{key}": about[key] for key in about}}.items():
            archive.writestr(file, text)
    return path


def write_wheel_of(folder: Path, name: str) -> Path:
    """Pack a package of this environment again, without its tests."""
    package = distribution(name)
    folder.mkdir(parents=True, exist_ok=True)
    tag = next(line for line in (package.read_text("WHEEL") or "").splitlines() if "Tag: " in line)
    path = folder / f"{name}-{package.version}-{tag.removeprefix('Tag: ')}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in package.files or ():
            if file.parts[0] != ".." and not {"tests", "__pycache__"} & set(file.parts):
                archive.write(file.locate(), file.as_posix())
    return path
