"""Three real submissions in the harness: one that guesses, ours, ours with another recipe.

Each is what `shoplens challenge new` writes, on the sample, on the renders, on the development set
where it is there, and on a made catalogue of more than a thousand photos, whose answers are scored
by the original scoring's rules as well (tests/original_kit.py).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import REAL, ROOT, SAMPLE, finish, table

from shoplens.challenge.kit import sample_folder, write_submission
from shoplens.challenge.running import ChallengeRun, run_submission
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.models import BASE_MODEL
from shoplens.models.recipe import Recipe

sys.path.append(str(ROOT / "scripts"))
sys.path.append(str(ROOT / "tests"))
from make_catalogue import make_catalogue
from original_kit import original_score

BUILTIN = ROOT / "src" / "shoplens" / "models" / "builtin" / BASE_MODEL


def write_submissions(folder: Path) -> dict[str, Path]:
    """Write the three of them."""
    guessing, ours, trimmed = (folder / name for name in ("guessing", "ours", "trimmed"))
    write_submission(guessing, ranker="random")
    write_submission(ours, ranker="shoplens")
    write_submission(trimmed, ranker="shoplens")
    model = trimmed / "models" / "trimmed"
    model.mkdir(parents=True)
    weights = (BUILTIN / "model.onnx").read_bytes()
    recipe = Recipe.from_json((BUILTIN / "recipe.json").read_text(encoding="utf-8"), weights)
    recipe = replace(recipe, name="trimmed", trim=("seller",))
    (model / "model.onnx").write_bytes(weights)
    (model / "recipe.json").write_text(recipe.to_json(weights), encoding="utf-8")
    ranker = trimmed / "my_submission" / "shoplens_ranker.py"
    text = ranker.read_text(encoding="utf-8")
    changed = text.replace(f'model = "{BASE_MODEL}"', 'model = "models/trimmed"')
    if changed == text:
        raise SystemExit(f"{ranker} does not name {BASE_MODEL}")
    ranker.write_text(changed, encoding="utf-8")
    return {"guessing": guessing, "ours": ours, "ours, sellers' borders trimmed": trimmed}


def by_the_original(run: ChallengeRun, dataset: Dataset) -> float | None:
    """Score the answer by the original's rules; None where its rows are shorter than they ask."""
    if run.scores is None or len(dataset.gallery) < 1000:
        return None
    return original_score(run.scores.ranking.ids, dataset.root)[0]


def main() -> None:
    """Run, print, write."""
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_catalogue(folder / "made catalogue", broken=0)
        sets = {"sample": sample_folder(), "renders": SAMPLE, "development set": REAL}
        sets["made catalogue"] = folder / "made catalogue"
        submissions = write_submissions(folder)
        for title, data in sets.items():
            if not data.is_dir():
                continue
            dataset = read_dataset(data)
            for who, submission in submissions.items():
                run = run_submission(submission, dataset, isolation="required")
                if run.scores is None:
                    raise SystemExit(f"{who} on {title}: {run.verdict}: {run.reason}\n{run.log}")
                score = run.scores["map@1000"]
                original = by_the_original(run, dataset)
                if original is not None and abs(original - score.value) > 1e-12:
                    raise SystemExit(f"{who} on {title}: {score.value} here, {original} there")
                runs.append({
                    "data": title, "submission": who, "verdict": run.verdict,
                    "n_queries": len(dataset.queries), "n_gallery": len(dataset.gallery),
                    "map@1000": score.value, "low": score.low, "high": score.high,
                    "original": original, "wall_seconds": run.wall_seconds,
                    "peak_memory_mb": run.peak_memory_mb, "phases": dict(run.phases),
                    "not_enforced": list(run.not_enforced),
                })  # fmt: skip
                print(*row(runs[-1]), sep=" | ", flush=True)
    header = ("data", "submission", "verdict", "mAP@1000", "by the original's rules", "s")
    text = table([*header, "photos/s", "peak MB"], [row(run) for run in runs])
    finish("submissions", "python3 make.py bench submissions", {"runs": runs}, text)


def row(run: dict[str, Any]) -> list[str]:
    """Return a run as the table shows it."""
    n_queries, n_gallery = run["n_queries"], run["n_gallery"]
    return [
        f"{run['data']}: {n_queries:,} queries, {n_gallery:,} photos", run["submission"],
        run["verdict"], f"{run['map@1000']:.4f} ({run['low']:.4f} .. {run['high']:.4f})",
        "" if run["original"] is None else f"{run['original']:.4f}", f"{run['wall_seconds']:.1f}",
        f"{(n_queries + n_gallery) / run['wall_seconds']:.0f}", f"{run['peak_memory_mb']:.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
