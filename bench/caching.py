"""What a second run costs: `shoplens embed` of the same photos twice, each in a fresh process."""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from catalogues import numbered, photos_at_hand, write_gallery_table
from commands import Finished, fresh_folder, shoplens
from measuring import finish, table

COUNT = 2_000
SECOND_RUNS = 5
TARGET = 2_000


def figures(run: Finished, n: int) -> dict[str, float]:
    """Return a run's photos/s: while it embeds, and from the start of the process to its end."""
    return {
        "embedding": n / run.values["seconds"]["embed"],
        "process": n / run.wall_seconds,
        "cpu_ms": 1e3 * run.cpu_seconds / n,
        "cached": run.values["n_cached"],
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=COUNT, help="how many photos")
    n = parser.parse_args().photos
    name, photos = photos_at_hand()
    jpegs = [photo.path for photo in photos if photo.path.suffix == ".jpg"]
    with fresh_folder() as scratch:
        (scratch / "photos").mkdir()
        for number in range(n):
            jpeg = jpegs[number % len(jpegs)].read_bytes()
            (scratch / "photos" / f"{number}.jpg").write_bytes(numbered(jpeg, number))
        write_gallery_table(scratch / "gallery.csv", n)
        words = ("embed", scratch / "gallery.csv", "-o", scratch / "vectors.npy")
        runs = [shoplens(*words, cache=scratch / "cache") for _ in range(1 + SECOND_RUNS)]
        size = sum(f.stat().st_size for f in (scratch / "cache").rglob("*") if f.is_file())
    first, *again = (figures(run, n) for run in runs)
    if any(run["cached"] != n for run in again) or first["cached"]:
        raise SystemExit("the cache did not serve the second run, or served the first")
    second = {key: median(run[key] for run in again) for key in first}
    rows = [
        [label, f"{of['embedding']:,.0f}", f"{of['process']:,.0f}", f"{of['cpu_ms']:.2f}", target]
        for label, of, target in (
            ("first", first, ""),
            (f"second (median of {SECOND_RUNS})", second, f"{TARGET:,}"),
        )
    ]
    header = [
        "run", "photos/s", "photos/s with start and end of the process",
        "core ms a photo, whole process", "target: at least",
    ]  # fmt: skip
    text = f"{n:,} photos of the {name}, made different by their comments.\n\n"
    text += table(header, rows)
    text += f"\n\nThe cache takes {size / n:,.0f} bytes a photo."
    values: dict[str, Any] = {"photos": n, "set": name, "first": first, "second": second}
    values |= {"bytes_a_photo": size / n}
    finish("caching", "python3 make.py bench caching", values, text)


if __name__ == "__main__":
    main()
