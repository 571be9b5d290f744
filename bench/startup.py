"""How long a user waits for one answer: processes from start to end, with vectors at hand."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from catalogues import made_jpegs, write_catalogue
from commands import fresh_folder
from measuring import SAMPLE, finish, interleaved, table

from shoplens import Embeddings, load_encoder, read_gallery, read_queries

COUNT = 5_000
ROUNDS = 10
TARGETS = {"shoplens --version": 0.3, ".npy": 0.7}
"""Seconds that a process should take at most, by the end of its name."""

SEARCH = """
import sys, shoplens
photo, gallery, vectors, box = sys.argv[1:]
vectors = shoplens.Embeddings.load(vectors, shoplens.read_gallery(gallery))
print(shoplens.search(photo, vectors, box=box)[0])
"""
"""The same search from Python."""


def process(words: list[str], folder: Path) -> Callable[[], float]:
    """Return a function that runs a process and returns the seconds it took."""
    environment = {**os.environ, "SHOPLENS_CACHE": str(folder / "cache")}
    # An installed package has its bytecode: the first round, which does not count, writes it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> float:
        started = time.perf_counter()
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
        return seconds

    return run


def make_vectors(gallery: Path, folder: Path) -> list[Path]:
    """Write random vectors for a gallery, as `shoplens embed` would, in each format there is."""
    photos = read_gallery(gallery)
    encoder = load_encoder()
    random = np.random.default_rng(0)
    rows = random.normal(size=(len(photos), encoder.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made = Embeddings(photos.ids, rows, model_name=encoder.name, fingerprint=encoder.fingerprint)
    files = [folder / "vectors.npy"]
    if importlib.util.find_spec("pyarrow") is not None:
        files.append(folder / "vectors.parquet")
    for file in files:
        made.save(file, photos)
    return files


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=COUNT, help="how many photos are searched")
    n = parser.parse_args().photos
    query = read_queries(SAMPLE)[0]
    shoplens = [sys.executable, "-m", "shoplens"]
    with fresh_folder() as scratch:
        write_catalogue(n, made_jpegs(8, (32, 32)), scratch)
        gallery = scratch / "gallery.csv"
        ways = {"shoplens --version": process([*shoplens, "--version"], scratch)}
        for file in make_vectors(gallery, scratch):
            words = [str(query.path), "--gallery", str(gallery), "--gallery-vectors", str(file)]
            command = [*shoplens, "search", *words, "--box", str(query.box)]
            ways[f"shoplens search, {file.suffix}"] = process(command, scratch)
            python = [sys.executable, "-c", SEARCH, str(query.path), str(gallery), str(file)]
            ways[f"shoplens.search, {file.suffix}"] = process([*python, str(query.box)], scratch)
        seconds = interleaved(ways, ROUNDS)
    rows = []
    for name, of in seconds.items():
        target = next((s for end, s in TARGETS.items() if name.endswith(end)), "")
        rows.append([name, f"{of['median']:.2f}", f"{of['min']:.2f} .. {of['max']:.2f}", target])
    text = f"One photo with a box against {n:,} vectors at hand, {ROUNDS} rounds.\n\n"
    text += table(["process", "seconds, median", "range", "target: at most"], rows)
    finish("startup", "python3 make.py bench startup", {"photos": n, "seconds": seconds}, text)


if __name__ == "__main__":
    main()
