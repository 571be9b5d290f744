"""Runs: a ranking, its scores and its origin, in a folder.

A run folder holds `ranking.npz` (`Ranking.save`) and `run.json`: the JSON of `shoplens evaluate` or
`shoplens challenge run`, with `label`, `created` (ISO 8601, UTC), and `dataset` (the test set's
absolute path), and with `columns` and `boxes` if the test set was read with such options.
Other files in the folder (logs) are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from shoplens.answers.answer import Finding
from shoplens.answers.ranking_files import is_saved_ranking, read_ranking
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import DataError, MissingError, RankingError
from shoplens.evaluation.metric_names import DEFAULT_METRICS
from shoplens.evaluation.scores import Scores, evaluate
from shoplens.files import read_text, write_text
from shoplens.json_text import parse_object
from shoplens.ranking import Ranking

__all__ = ["Run", "load_run", "open_run", "read_record", "save_run"]

RECORD = "run.json"
RANKING = "ranking.npz"

_SAME = 1e-9
"""How much a score may differ from the recorded score on the same data."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """An evaluated ranking, with its test set and its record."""

    label: str
    scores: Scores
    dataset: Dataset
    json: Mapping[str, Any]
    """The content of `run.json`; empty for a ranking without one."""
    findings: tuple[Finding, ...] = ()
    """Findings in an answer that was not made by shoplens."""


def save_run(
    folder: str | Path, scores: Scores, dataset: Dataset, extra: Mapping[str, Any]
) -> None:
    """Write a run folder.

    Args:
        folder: created if it does not exist; an earlier run in it is replaced.
        scores: the scores of the ranking to save.
        dataset: the test set that it was scored on.
        extra: more keys for the record. They replace its own keys, such as `label` (the folder's
            name) and `dataset` (the test set's folder).

    Raises:
        MissingError: the parent folder does not exist.
        ShoplensError: the files cannot be written.
    """
    folder = Path(folder)
    if not folder.absolute().parent.is_dir():
        raise MissingError(f"cannot write run {folder}: {folder.absolute().parent} does not exist")
    folder.mkdir(exist_ok=True)
    record = {
        **scores.to_json(),
        "label": folder.absolute().name,
        "dataset": str(dataset.root.absolute()),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **extra,
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    # A folder with a record is complete, so the record is removed first and written last.
    (folder / RECORD).unlink(missing_ok=True)
    scores.ranking.save(folder / RANKING)
    write_text(folder / RECORD, text)


def load_run(
    path: str | Path,
    dataset: Dataset | None = None,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> Run:
    """Read a run folder or a ranking file, and score it.

    Args:
        path: a run folder, or a ranking in `.npz` or `.npy` (`Ranking.load`).
        dataset: the test set; None for the one that the run folder names.
        metrics: names of metrics, as in `evaluate`.

    Returns:
        The `Run`; the label of a ranking file is its name.

    Raises:
        MissingError: the run or its test set does not exist.
        DataError: `run.json` is faulty, or there is no test set with ground truth.
        RankingError: there is no ranking, or it is for another test set, or the test set that the
            folder names has changed since the run was made.
    """
    path = Path(path)
    if not path.is_dir():
        if dataset is None:
            raise DataError(f"{path} does not name its test set; name it with --data")
        ranking = Ranking.load(path, dataset.queries.ids)
        return Run(path.stem, evaluate(ranking, dataset, metrics=metrics), dataset, {})
    record = read_record(path)
    # A record without metrics is of a run that was not scored; a ranking beside it is an older one.
    if not (path / RANKING).is_file() or record.get("metrics") == {}:
        verdict = ": ".join(str(record[key]) for key in ("verdict", "reason") if record.get(key))
        raise RankingError(
            f"run {path} has no scored {RANKING}"
            + (f"; it ended with {verdict}" if verdict else "")
        )
    known = dataset if dataset is not None else _dataset_of(path, record)
    ranking = Ranking.load(path / RANKING, known.queries.ids)
    ranking = replace(ranking, seconds=_seconds(record))
    scores = evaluate(ranking, known, metrics=metrics)
    if dataset is None:
        _require_unchanged(path, record, scores)
    return Run(str(record.get("label") or path.absolute().name), scores, known, record)


def open_run(path: Path, dataset: Dataset | None, metrics: Sequence[str] = DEFAULT_METRICS) -> Run:
    """Read a run folder, a saved ranking, or any answer.

    Answers (`.npy`, `.npz`, `.csv`) are read by the lenient policy. The run's `findings` list what
    was found in them.

    Args:
        path: the run, the ranking or the answer.
        dataset: the test set; None for the one that the run folder names.
        metrics: names of metrics, as in `evaluate`.

    Raises as `load_run`, with the run's path in the message.
    """
    if not path.exists():
        raise MissingError(f"run {path} does not exist")
    try:
        if path.is_dir() or dataset is None or is_saved_ranking(path):
            return load_run(path, dataset, metrics=metrics)
        ranking, findings = read_ranking(path, dataset, "lenient")
        scores = evaluate(ranking, dataset, metrics=metrics)
    except RankingError as error:
        # With several runs, the message must say which run it is about.
        if str(path) in str(error):
            raise
        raise RankingError(f"{path}: {error}") from error
    return Run(path.stem, scores, dataset, {}, findings)


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read a run folder's `run.json`.

    Raises `MissingError` if there is none, and `DataError` if it is not a JSON object.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise MissingError(f"{folder} is not a run: it has no {RECORD}")
    return parse_object(read_text(path), str(path))


def _dataset_of(folder: Path, record: Mapping[str, Any]) -> Dataset:
    named = record.get("dataset")
    if not isinstance(named, str) or not named:
        raise DataError(f"run {folder} does not name its test set; name it with --data")
    try:
        return read_dataset(
            named,
            columns=_columns(record),
            box_frame="stored" if record.get("boxes") == "stored" else "upright",
        )
    except MissingError as error:
        raise MissingError(
            f"the test set of run {folder} cannot be read ({error}); say with --data where it is"
        ) from error


def _columns(record: Mapping[str, Any]) -> dict[str, str]:
    told = record.get("columns")
    if not isinstance(told, Mapping):
        return {}
    return {str(ours): str(theirs) for ours, theirs in told.items()}


def _seconds(record: Mapping[str, Any]) -> dict[str, float]:
    told = record.get("seconds")
    if not isinstance(told, Mapping):
        return {}
    return {
        str(stage): float(seconds)
        for stage, seconds in told.items()
        if isinstance(seconds, int | float)
    }


def _require_unchanged(folder: Path, record: Mapping[str, Any], scores: Scores) -> None:
    for count in ("n_queries", "n_gallery"):
        if record.get(count, getattr(scores, count)) != getattr(scores, count):
            raise _changed(folder, count, record[count], getattr(scores, count))
    metrics = record.get("metrics")
    for name, estimate in scores.items():
        told = metrics.get(name) if isinstance(metrics, Mapping) else None
        value = told.get("value") if isinstance(told, Mapping) else None
        if isinstance(value, int | float) and abs(value - estimate.value) > _SAME:
            raise _changed(folder, name, f"{value:.6f}", f"{estimate.value:.6f}")


def _changed(folder: Path, what: str, then: object, now: object) -> RankingError:
    return RankingError(
        f"the test set of run {folder} has changed: {what} was {then} and is now {now}; name the "
        "test set with --data to score the run on it as it is now"
    )
