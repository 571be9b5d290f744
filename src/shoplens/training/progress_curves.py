"""The record of a run: numbers by step in a CSV file, and a picture of them.

Columns are `step`, `epoch`, and values by the names that `plot_curves` knows: `loss/KIND`,
`learning_rate` and `map@1000/SET`. A row leaves empty what was not measured at its step.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoplens.errors import DataError
from shoplens.files import read_text, replacing, write_text

LOSS = "loss/"
LEARNING_RATE = "learning_rate"
SCORE = "map@1000/"

_PLACE = ("step", "epoch")
_STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#56B4E9", (0, (1, 1)), "P"),
    ("#000000", (0, (8, 2)), "X"),
)
"""Colours of Okabe and Ito (2008), told apart with any colour vision; lines and marks besides."""


class CurveLog:
    """Writes the CSV file, a row at once; a context manager."""

    def __init__(
        self, path: str | Path, columns: Sequence[str], *, resumed_step: int | None = None
    ) -> None:
        """Begin a file, or go on with one.

        Args:
            path: of the CSV file.
            columns: names of the values.
            resumed_step: the last step of the checkpoint that a run goes on from: rows after it
                are dropped, earlier ones stay. None begins anew.
        """
        path = Path(path)
        rows: list[dict[str, str]] = []
        if resumed_step is not None and path.exists():
            rows = [row for row in _read(path) if int(row["step"]) <= resumed_step]
        # A resumed run may measure other things; nothing measured before is lost.
        earlier = [name for row in rows[:1] for name in row if name not in _PLACE]
        self.columns = (*_PLACE, *dict.fromkeys([*columns, *earlier]))
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
        self._stream = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._stream, self.columns, lineterminator="\n")

    def add(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Append a row; a value whose name is no column is an error (`ValueError`)."""
        written = {name: f"{value:.6g}" for name, value in values.items()}
        self._writer.writerow({"step": step, "epoch": f"{epoch:.6g}", **written})
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> CurveLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def plot_curves(csv_path: str | Path, png_path: str | Path) -> None:
    """Draw loss terms and learning rate against the step, validation scores against the epoch.

    Raises:
        MissingError: there is no CSV file.
        DataError: it holds no row.
    """
    rows = _read(Path(csv_path))
    if not rows:
        raise DataError(f"{csv_path} holds no row to draw")
    figure = Figure(figsize=(8, 9), layout="constrained")
    losses, rate, scores = figure.subplots(3, 1, height_ratios=(3, 1, 3))

    _draw(losses, rows, "step", LOSS, smoothed=True)
    losses.set(ylabel="loss (weighted)", title="Loss terms and their running means")
    _draw(rate, rows, "step", LEARNING_RATE)
    rate.set(xlabel="step", ylabel="learning rate")
    rate.sharex(losses)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    _draw(scores, rows, "epoch", SCORE, marked=True)
    scores.set(xlabel="epoch", ylabel="mAP@1000", title="Validation")
    with replacing(png_path) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _draw(
    axes: Axes,
    rows: Sequence[Mapping[str, str]],
    against: str,
    prefix: str,
    *,
    smoothed: bool = False,
    marked: bool = False,
) -> None:
    """Draw every column of a prefix, with a key where there are several."""
    names = [name for name in rows[0] if name.startswith(prefix)]
    for place, name in enumerate(names):
        points = [(float(row[against]), float(row[name])) for row in rows if row[name]]
        if not points:
            continue
        x, y = np.array(points).T
        colour, line, mark = _STYLES[place % len(_STYLES)]
        window = len(y) // 50
        if smoothed and window > 1:
            axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
            y = _running_mean(y, window)
        axes.plot(
            x,
            y,
            color=colour,
            linestyle=line,
            marker=mark if marked else "",
            linewidth=1.8,
            label=name.removeprefix(prefix) or name,
        )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if prefix != LEARNING_RATE and axes.lines:
        axes.legend(frameon=False)


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and the up to `window - 1` before it."""
    sums = np.concatenate([[0.0], values.cumsum(axis=0)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a file; a last line that was cut off is left out."""
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole)))
    if rows and not set(_PLACE) <= rows[0].keys():
        raise DataError(f"{path} has no columns {' and '.join(_PLACE)}")
    return rows
