"""Runs this submission here and scores it: python local_evaluation.py [--data FOLDER].

It runs without the limits of the challenge; `shoplens challenge run` has them.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

import shoplens
from shoplens.answers.answer import check_answer
from shoplens.challenge.pins import unmet_requirements
from shoplens.cores import usable_cores
from shoplens.evaluation.scores import require_ground_truth

SAMPLE = Path(shoplens.__file__).parent / "sample"
PHOTOS_PER_SECOND = 70
"""What the budget asks for: some 40,000 photos in 600 seconds, on 4 cores."""


def main() -> int:
    """Run, check, score; the result is the exit code."""
    parser = argparse.ArgumentParser(description="Run this submission and score it.")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("AICROWD_DATASET_DIR", SAMPLE),
        metavar="FOLDER",
        help="a dataset with gallery.csv, queries.csv and product_id in both; "
        "by default the sample that comes with shoplens",
    )
    data = Path(parser.parse_args().data).resolve()
    dataset = shoplens.read_dataset(data)
    require_ground_truth(dataset)
    n_queries, n_gallery = len(dataset.queries), len(dataset.gallery)
    print(f"data      {data}: {n_queries:,} queries, {n_gallery:,} in gallery")

    for note in unmet_requirements(Path(__file__).parent):
        print(f"note      {note}")

    # As in the challenge: this folder is the working directory, and the variable names the data.
    os.chdir(Path(__file__).parent)
    os.environ["AICROWD_DATASET_DIR"] = str(data)
    started = time.perf_counter()
    from my_submission.aicrowd_wrapper import AIcrowdWrapper  # noqa: PLC0415

    answer = np.asarray(AIcrowdWrapper().predict_product_ranks())
    seconds = time.perf_counter() - started
    rate = (n_queries + n_gallery) / seconds
    print(
        f"time      {seconds:.1f} s, {rate:.0f} photos/s on {usable_cores()} cores; "
        f"the budget asks for {PHOTOS_PER_SECOND} on 4"
    )

    checked = check_answer(answer, dataset.queries.ids, dataset.gallery.ids, policy="strict")
    for finding in checked.findings:
        print(f"{finding.level:9} {finding.text}")
    if checked.ranking is None:
        print("refused   the answer cannot be scored")
        return 1
    scores = shoplens.evaluate(checked.ranking, dataset)
    for name in ("map@1000", "hit@1", "recall@10"):
        score = scores[name]
        print(f"{name:9} {score.value:.4f}  (95 % interval {score.low:.4f} .. {score.high:.4f})")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except shoplens.ShoplensError as error:
        sys.exit(f"error: {error}")
