"""Models side by side: accuracy on four test sets, speed, memory.

    python bench/clip.py --tables FOLDER [--sets groceries sample scans]

`--tables` is the folder that scripts/build_clip.py takes; `scans-kept-out` in it is made by
scripts/scans_test_set.py. Needs the extra `[train]`. The models must be at hand (`shoplens
models get clip-b16-lite0-lite2`). The challenge's photos are looked at only if `development` is
among the sets: log it in docs/devset-log.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import REAL, ROOT, SAMPLE, finish, interleaved, peak_mb, table

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.cache import VectorCache
from shoplens.cores import usable_cores
from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.comparison import paired_difference
from shoplens.evaluation.scores import Scores, judge
from shoplens.models import Encoder, list_models
from shoplens.models.ensemble import Ensemble
from shoplens.models.gettable import gettable
from shoplens.models.model_folder import model_folder
from shoplens.models.views import Prepared
from shoplens.pixels.decoding import decode
from shoplens.records import Photo, PhotoSet
from shoplens.vectors.embeddings import Embeddings

sys.path.insert(0, str(ROOT / "scripts"))
from product_views import GROCERY_SHARE, Row, Tables, hashed

MODELS = (
    "lite0-products",
    "lite0-products-int8",
    "lite0-lite2-products",
    "clip-b16",
    "clip-b16-lite0",
    "clip-b16-lite0-lite2",
)
BEFORE = MODELS[0]
"""What the others are compared with: the smallest and oldest."""
METRIC = "map@1000"
TIMED = 8
"""Photos a round."""


def groceries(folder: Path) -> Dataset:
    """Return photos of the grocery products kept out, and the seller pictures of all groceries."""
    rows = Tables(folder).rows("train-photos", "grocery")
    sellers = [row for row in rows if row.domain == "seller"]
    users = [row for row in rows if row.domain == "user"]
    kept_out = [row for row in users if hashed(f"0/grocery/{row.product}") < GROCERY_SHARE]
    return Dataset(folder, _photos(folder, sellers), _photos(folder, kept_out))


def _photos(folder: Path, rows: list[Row]) -> PhotoSet:
    return PhotoSet(
        [
            Photo(number, row.name, folder / row.name, row.domain, product_id=row.product)
            for number, row in enumerate(rows)
        ]
    )


def members_of(name: str) -> tuple[tuple[str, float], ...]:
    """Return the models that a model is made of, with their weights; of a single one itself."""
    brought = gettable(name)
    return brought.members if brought and brought.members else ((name, 1.0),)


def megabytes(model: str) -> float:
    """Return the size of a model's weights."""
    shipped = {info.name: info.megabytes for info in list_models()}
    with model_folder(model) as folder:
        weights = [file.stat().st_size for file in Path(str(folder)).rglob("*.onnx")]
    return shipped.get(model, sum(weights) / 1e6)


def vectors(photos: PhotoSet, encoder: Encoder) -> Embeddings:
    """Embed photos of one domain with what the cache has; an ensemble's are joined here."""
    if not isinstance(encoder, Ensemble):
        with VectorCache(encoder.fingerprint) as cache:
            found = embed(photos, encoder, cache=cache)
        if found.failures:
            raise SystemExit(f"photos failed: {found.failures_by_reason()}")
        return found
    parts = [vectors(photos, member.encoder).vectors for member in encoder.members]
    return Embeddings(photos.ids, encoder.joined(parts, photos[0].domain))


def score(dataset: Dataset, encoder: Encoder) -> Scores:
    """Embed both sides, rank, score."""
    queries, gallery = vectors(dataset.queries, encoder), vectors(dataset.gallery, encoder)
    return evaluate(rank(queries, gallery), dataset, metrics=(METRIC,))


def seconds(encoder: Encoder, prepared: list[Prepared]) -> float:
    """Return core seconds a photo of inference, one call a core."""
    started = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(lambda one: encoder.embed([one], ["user"]), prepared))
    return usable_cores() * (time.perf_counter() - started) / len(prepared)


def shown(score: dict[str, Any]) -> str:
    """Return a score as the table shows it: interval, and gain over `BEFORE`."""
    text = f"{score['value']:.3f} ({score['low']:.3f} .. {score['high']:.3f})"
    gain = score.get("gain")
    return text + (f", {gain['value']:+.3f}, p {gain['p_value']:.2g}" if gain else "")


def main() -> None:
    """Score, compare, time, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    every = ["groceries", "sample", "scans", "development"]
    parser.add_argument("--sets", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    sets = {
        "groceries": lambda: groceries(arguments.tables),
        "sample": lambda: read_dataset(SAMPLE),
        "scans": lambda: read_dataset(arguments.tables / "scans-kept-out"),
        "development": lambda: read_dataset(REAL),
    }
    encoders = {name: load_encoder(name) for name in MODELS}
    rows: dict[str, dict[str, Any]] = {name: {"scores": {}} for name in MODELS}
    for chosen in arguments.sets:
        dataset = sets[chosen]()
        found = {name: score(dataset, encoder) for name, encoder in encoders.items()}
        default = found[BEFORE].per_query[METRIC]
        for name, scores in found.items():
            value = scores[METRIC]
            row = {"value": value.value, "low": value.low, "high": value.high}
            if name != BEFORE:
                groups = judge(scores.ranking, dataset).groups
                gain = paired_difference(scores.per_query[METRIC], default, groups)
                row["gain"] = {
                    "value": gain.value,
                    "low": gain.low,
                    "high": gain.high,
                    "p_value": gain.p_value,
                }
            rows[name]["scores"][chosen] = row
            print(chosen, name, row, flush=True)
    photos = sorted((SAMPLE / "queries").glob("*.jpg"))[:TIMED]
    decoded = [decode(photo.read_bytes()) for photo in photos]
    ways = {}
    for name, encoder in encoders.items():
        prepared = [encoder.prepare(photo, "user") for photo in decoded]
        ways[name] = lambda encoder=encoder, prepared=prepared: seconds(encoder, prepared)
    for name, cost in interleaved(ways).items():
        rows[name]["core_ms"] = 1000 * cost["median"]
        rows[name]["fingerprint"] = encoders[name].fingerprint
        rows[name]["dimension"] = encoders[name].dimension
        rows[name]["megabytes"] = sum(megabytes(of) for of, _ in members_of(name))
    lines = [
        [
            name,
            *(shown(found) for found in row["scores"].values()),
            f"{row['core_ms']:.0f}",
            f"{1000 * usable_cores() / row['core_ms']:.1f}",
            f"{row['megabytes']:.0f}",
        ]
        for name, row in rows.items()
    ]
    header = ["model", *arguments.sets, "core ms a photo", f"photos/s on {usable_cores()} cores"]
    header.append("MB")
    values = {"models": rows, "peak_mb": peak_mb()}
    finish("clip", "python bench/clip.py --tables FOLDER", values, table(header, lines))


if __name__ == "__main__":
    main()
