"""Whether memory stays the same however many photos there are: `shoplens embed`, by catalogue size.

Each run is a fresh process. Catalogues are made: JPEGs of different bytes that show few different
pictures. A toy model makes the large ones quick; what memory there is besides is the built-in's.
"""

from __future__ import annotations

import argparse
import tracemalloc
from pathlib import Path
from typing import Any

from catalogues import made_jpegs, write_catalogue, write_gallery_table
from commands import Finished, fresh_folder, shoplens
from measuring import finish, table
from stand_ins import write_toy_model

from shoplens import read_gallery
from shoplens.models import BASE_MODEL

COUNTS = (1_000, 5_000, 10_000, 50_000)
BUILTIN_COUNTS = (1_000, 2_000)
PHOTO = (480, 360)
"""Width and height of the made photos."""


def embedded(photos: Path, model: str | Path, scratch: Path, cache: Path | None) -> Finished:
    """Run `shoplens embed`; without a cache folder, without a cache."""
    words: list[str | Path] = [photos, "-o", scratch / "vectors.npy", "--model", model]
    if cache is None:
        words.append("--no-cache")
    return shoplens("embed", *words, cache=cache or scratch / "unused")


def measured(n: int, folder: Path, model: str | Path, scratch: Path) -> dict[str, Any]:
    """Embed the first n photos without a cache, with an empty one, and from it."""
    gallery = folder / f"first-{n}.csv"
    write_gallery_table(gallery, n)
    cache = scratch / f"cache-{Path(model).name}-{n}"
    runs = {
        "no cache": embedded(gallery, model, scratch, None),
        "first": embedded(gallery, model, scratch, cache),
        "again": embedded(gallery, model, scratch, cache),
    }
    if runs["again"].values["n_cached"] != n:
        raise SystemExit(f"{runs['again'].values['n_cached']} of {n} photos came from the cache")
    return {
        "photos": n,
        "model": Path(model).name,
        "peak_mb": {name: run.peak_mb for name, run in runs.items()},
        "photos_per_second": {
            name: n / run.values["seconds"]["embed"] for name, run in runs.items()
        },
        "photos_per_second_with_start": {name: n / run.wall_seconds for name, run in runs.items()},
    }


def bytes_of_records(gallery: Path) -> dict[str, float]:
    """Return bytes a photo that a gallery read from a table takes, and took while it was read."""
    tracemalloc.start()
    photos = read_gallery(gallery)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"kept": kept / len(photos), "while_read": most / len(photos)}


def row(figures: dict[str, Any], least: dict[str, Any]) -> list[str]:
    """Return a row of the table; `least` is the same model's smallest catalogue."""
    peaks, base = figures["peak_mb"], least["peak_mb"]
    grown = (peaks["first"] - base["first"]) * 1e6 / max(1, figures["photos"] - least["photos"])
    return [
        figures["model"],
        f"{figures['photos']:,}",
        *(f"{peak:.0f} ({peak / base[name] - 1:+.0%})" for name, peak in peaks.items()),
        f"{grown:,.0f}" if figures is not least else "",
        f"{figures['photos_per_second']['again']:,.0f}",
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for option, counts in (("--counts", COUNTS), ("--builtin-counts", BUILTIN_COUNTS)):
        parser.add_argument(option, type=int, nargs="+", default=counts, metavar="N")
    arguments = parser.parse_args()
    with fresh_folder() as scratch:
        folder = scratch / "catalogue"
        largest = max(*arguments.counts, *arguments.builtin_counts)
        write_catalogue(largest, made_jpegs(40, PHOTO), folder)
        write_toy_model(scratch / "toy")
        toy = [measured(n, folder, scratch / "toy", scratch) for n in arguments.counts]
        builtin = [measured(n, folder, BASE_MODEL, scratch) for n in arguments.builtin_counts]
        # Last: a command's peak is told from this process's own by being larger.
        records = bytes_of_records(folder / f"first-{max(arguments.counts)}.csv")
    rows = [row(figures, each[0]) for each in (toy, builtin) for figures in each]
    header = [
        "model", "photos", "peak MB, no cache", "first run", "second run, from the cache",
        "bytes a photo (first run)", "second run, photos/s",
    ]  # fmt: skip
    text = table(header, rows)
    # What a catalogue of the largest size would take with the built-in, from what was measured.
    most, least = toy[-1]["peak_mb"]["first"], toy[0]["peak_mb"]["first"]
    base = builtin[0]["peak_mb"]["first"]
    share = (most - least) / base
    text += (
        f"\n\nThe toy model's growth from {toy[0]['photos']:,} to {toy[-1]['photos']:,} photos, "
        f"{most - least:.0f} MB, is {share:.0%} of the built-in's peak at "
        f"{builtin[0]['photos']:,} (target: at most 10 %). The list of photos "
        f"takes {records['kept']:,.0f} bytes a photo, {records['while_read']:,.0f} while its table "
        "is read."
    )
    values = {"toy": toy, "builtin": builtin, "growth_share_of_builtin": share, "records": records}
    finish("memory", "python3 make.py bench memory", values, text)


if __name__ == "__main__":
    main()
