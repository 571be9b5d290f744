"""Checking an answer array: all of its faults at once, with their places.

Two policies. `strict` is how the challenge's original code scores: exactly min(1000, gallery)
columns, nothing repeated, anything else is refused. `lenient` is what its documentation promises:
columns past 1000 are dropped, and of repeats the first stays. In detail, lenient does this:

- Columns past 1000 are dropped first, then repeats. Whatever follows a dropped repeat moves up a
  rank, as in a list from which an entry is removed.
- An answer with fewer columns is scored as it is. Missing ids count as not found.
- An empty place (NaN, an empty cell of a CSV file, or -1 where no photo has that id, which search
  libraries fill short rows with) is blank: it keeps its rank and is never a hit.
- An unknown id is refused, as in strict. Neither the documentation nor the original code gives it a
  meaning, and scoring it as a miss would turn a wrong numbering into a silent 0.

The original code reads the numbers as row positions in gallery.csv (in the official sets id and
row are one). Here they are ids; where they are not all known ids, but fit as positions, they are
read as positions, and a warning says so. The findings of an answer that fits neither are those of
the reading that fits more of its places.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shoplens.answers.numbering import (
    BLANK,
    FRACTION,
    INFINITE,
    NAN,
    UNKNOWN,
    Numbering,
    Reading,
    close_up,
    number,
)
from shoplens.errors import MissingError, RankingError, reason_of
from shoplens.lookup import find_repeats
from shoplens.ranking import DEPTH, Ranking

Policy = Literal["strict", "lenient"]
SHOWN_PLACES = 20
"""How many places a finding lists; it counts all of them."""

CODES = {
    "shape": "not a table of rows and columns",
    "dtype": "not numbers that could be ids",
    "rows": "another number of rows than there are queries",
    "columns": "more or fewer columns than a full answer",
    "float_ids": "whole numbers stored as floats",
    "rounded": "a float type too coarse for ids as large as these",
    "nan": "NaN, or an empty cell",
    "infinite": "infinity",
    "fraction": "a number that is not whole",
    "blank": "-1, which no gallery photo has as its id",
    "unknown_id": "the id (or row position) of no gallery photo",
    "repeat": "an id that repeats an earlier one of its row",
    "positions": "the numbers are read as row positions",
    "ambiguous": "the numbers could be ids or row positions; they are read as ids",
}
"""The codes of findings, and what each means."""

_FORGIVEN: dict[Policy, frozenset[str]] = {
    "strict": frozenset(),
    "lenient": frozenset({"columns", "nan", "blank", "repeat"}),
}
_WARNINGS = frozenset({"float_ids", "positions", "ambiguous"})
"""Codes that no policy refuses."""

LIMIT_BYTES = 2 * 2**30
"""Largest answer that is read, unpacked; a full one for 14,000 queries takes 56 MB as int32."""

Place = tuple[int, int, str]
"""Row and column, from 0, and the value there as text."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an answer that its author should know."""

    level: Literal["error", "warning"]
    """An error refuses the answer."""
    code: str
    """A key of `CODES`."""
    text: str
    """What is wrong and, for places, the first of them; one line."""
    count: int = 1
    """How many places (1 where it is the array as a whole)."""
    places: tuple[Place, ...] = ()
    """The first 20 places, row by row."""

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        """Return it as commands write it to `--json`."""
        return {
            "level": self.level,
            "code": self.code,
            "text": self.text,
            "count": self.count,
            "places": [{"row": r, "column": c, "value": v} for r, c, v in self.places],
        }


@dataclass(frozen=True, slots=True, eq=False)
class CheckedAnswer:
    """The result of a check: the findings, and the ranking if the answer is accepted."""

    ranking: Ranking | None
    """None when the answer is refused."""
    findings: tuple[Finding, ...]
    """Errors first."""
    reading: Reading

    @property
    def accepted(self) -> bool:
        """Whether the answer can be scored."""
        return self.ranking is not None

    def require(self) -> Ranking:
        """Return the ranking; raises `RankingError` with every finding when there is none."""
        if self.ranking is None:
            raise refusal(self.findings)
        return self.ranking


def refusal(findings: Sequence[Finding]) -> RankingError:
    """Return the error that refuses an answer; its message has every finding and its places."""
    lines = []
    for finding in sorted(findings, key=lambda finding: finding.level):
        lines.append(f"  {finding}")
        if finding.count > 1 and finding.places:
            shown = " ".join(f"{row},{column}" for row, column, _ in finding.places)
            more = " ..." if finding.count > len(finding.places) else ""
            lines.append(f"    row,column: {shown}{more}")
    return RankingError("\n".join(["the answer is refused:", *lines]))


def read_answer(
    path: str | Path, query_ids: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[Any]:
    """Read an answer array as it is, without checking it. Nothing is unpickled.

    Args:
        path: `.npy`; `.npz` with an array `ids`, or a single array; or `.csv`, a row for each
            query, without a header, or with one whose first column is `query_id`. In a CSV file
            an empty cell, and what a short row lacks, is read as NaN.
        query_ids: (q,) int32. Where it is given and the file says which query a row is for
            (`query_id`, or `query_ids` in an `.npz`), rows are put in its order.

    Returns:
        An array of whatever shape and type the file holds: give it to `check_answer`.

    Raises:
        MissingError: no such file.
        RankingError: no such array, or rows for other queries.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"there is no answer file {path}")
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise RankingError(
                f"{path} is larger than {LIMIT_BYTES >> 30} GiB: it is not an answer"
            )
        with path.open("rb") as stream:
            if path.suffix.lower() == ".csv":
                array, own_ids = _read_csv(path)
            elif stream.read(4) == b"PK\x03\x04":
                array, own_ids = _read_npz(path)
            else:
                stream.seek(0)
                array, own_ids = np.load(stream, allow_pickle=False), None
    except RankingError:
        raise
    except Exception as error:  # A damaged zip or header can raise almost anything.
        raise RankingError(
            f"{path} is not an answer in .npy, .npz or .csv: {reason_of(error)}"
        ) from error
    if own_ids is None or query_ids is None:
        return array
    return _in_order(array, own_ids, query_ids, path)


_Read = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]
"""The answer, and the query ids of its rows where the file has them."""


def _read_npz(path: Path) -> _Read:
    with zipfile.ZipFile(path) as members:
        size = sum(member.file_size for member in members.infolist())
    if size > LIMIT_BYTES:
        raise RankingError(
            f"{path} unpacks to more than {LIMIT_BYTES >> 30} GiB: it is not an answer"
        )
    with np.load(path, allow_pickle=False) as arrays:
        name = "ids" if "ids" in arrays.files else arrays.files[0]
        if name != "ids" and len(arrays.files) > 1:
            raise RankingError(
                f"{path} holds the arrays {', '.join(arrays.files)}: name the answer 'ids', or "
                "save it alone"
            )
        return arrays[name], arrays["query_ids"] if "query_ids" in arrays.files else None


def _read_csv(path: Path) -> _Read:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream)
        first = next(rows, [])
        named = bool(first) and first[0].strip().lower() == "query_id"
        values = [] if named or not first else [_numbers(first, rows.line_num, path)]
        values += [_numbers(row, rows.line_num, path) for row in rows if row]
    width = max((len(row) for row in values), default=0)
    table = np.full((len(values), width), np.nan)
    for row, cells in enumerate(values):
        table[row, : len(cells)] = cells
    # Text has no type: whole numbers are integers, however they are written.
    whole = bool((table == np.rint(table)).all()) and np.abs(table).max(initial=0) < 2.0**53
    array = table.astype(np.int64) if whole else table
    return (array[:, 1:], array[:, 0]) if named else (array, None)


def _numbers(cells: list[str], line: int, path: Path) -> npt.NDArray[np.float64]:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    numbers = np.full(len(cells), np.nan)
    for column, cell in enumerate(cells):
        try:
            numbers[column] = float(cell) if cell.strip() else np.nan
        except ValueError:
            raise RankingError(
                f"{path}, line {line}, column {column + 1}: {cell[:40]!r} is not a number; "
                "expected ids separated by commas, without a header or with one that begins with "
                "query_id"
            ) from None
    return numbers


def _in_order(
    array: npt.NDArray[Any],
    own_ids: npt.NDArray[Any],
    query_ids: npt.NDArray[np.int32],
    path: Path,
) -> npt.NDArray[Any]:
    if own_ids.shape == query_ids.shape and len(own_ids) == len(array):
        order = np.argsort(own_ids, kind="stable")
        wanted = np.argsort(query_ids, kind="stable")
        if np.array_equal(own_ids[order], query_ids[wanted]):
            rows = np.empty(len(order), dtype=np.intp)
            rows[wanted] = order
            return array[rows]
    raise RankingError(
        f"{path} has rows for other queries; expected one row for each user_img_id of queries.csv"
    )


def check_answer(
    array: npt.NDArray[Any],
    query_ids: npt.NDArray[np.int32],
    gallery_ids: npt.NDArray[np.int32],
    policy: Policy = "strict",
) -> CheckedAnswer:
    """Check an answer and, if the policy allows, turn it into a ranking.

    Columns past 1000 are counted and not checked further.

    Args:
        array: (q, k) numbers, row r for query r, best first; any other array is refused.
        query_ids: (q,) int32, in the order of queries.csv.
        gallery_ids: (n,) int32, in the order of gallery.csv.
        policy: `strict` or `lenient`, see above.

    Returns:
        The answer's findings, all of them, and its `Ranking` of gallery ids.
    """
    report = _Report(policy)
    full = min(DEPTH, len(gallery_ids))
    if array.ndim != 2 or (full and not array.shape[1]):
        report.add(
            "shape",
            f"the answer has shape {array.shape}; expected {len(query_ids):,} rows of {full:,} "
            "columns",
        )
    if array.dtype.kind not in "iuf":
        report.add("dtype", f"the answer holds {_words(array)}, expected integer ids")
    if report.refused:
        return CheckedAnswer(None, report.sorted(), "ids")
    if len(array) != len(query_ids):
        report.add(
            "rows",
            f"the answer has {len(array):,} rows; expected one row for each of the "
            f"{len(query_ids):,} queries, in the order of queries.csv",
        )
    columns = array.shape[1]
    if columns != full:
        what = "the rest is dropped" if columns > full else "missing ids count as not found"
        report.add(
            "columns",
            f"the answer has {columns} columns, a full answer has {full}"
            + (f"; {what}" if policy == "lenient" else ""),
        )
    # Rows beyond the queries are wrong anyway, and checking millions of them would take long.
    array = array[: len(query_ids), :DEPTH]
    numbering = number(array, gallery_ids)
    _report_numbering(array, numbering, report)
    positions, reading = numbering.positions, numbering.reading
    repeated = find_repeats(positions)
    if repeated is not None:
        report.add_places("repeat", "ids that repeat an earlier one of their row", array, repeated)
    if report.refused:
        return CheckedAnswer(None, report.sorted(), reading)
    if repeated is not None:
        positions = close_up(positions, repeated)
    positions = positions[:, :full]
    blank = positions < 0
    ids = gallery_ids[np.maximum(positions, 0)]
    ids[blank] = -1
    ranking = Ranking(query_ids, ids, None, blank=blank if blank.any() else None)
    return CheckedAnswer(ranking, report.sorted(), reading)


class _Report:
    """The findings so far."""

    def __init__(self, policy: Policy) -> None:
        self._forgiven = _FORGIVEN[policy] | _WARNINGS
        self._findings: list[Finding] = []

    @property
    def refused(self) -> bool:
        return any(finding.level == "error" for finding in self._findings)

    def add(self, code: str, text: str, count: int = 1, places: tuple[Place, ...] = ()) -> None:
        level: Literal["error", "warning"] = "warning" if code in self._forgiven else "error"
        self._findings.append(Finding(level, code, text, count, places))

    def add_places(
        self, code: str, text: str, array: npt.NDArray[Any], marked: npt.NDArray[np.bool_]
    ) -> None:
        """Add a finding about the marked places of an array, if there are any."""
        count = int(np.count_nonzero(marked))
        if not count:
            return
        first = np.flatnonzero(marked.ravel())[:SHOWN_PLACES]
        rows, columns = np.unravel_index(first, marked.shape)
        places = tuple(
            (int(row), int(column), str(array[row, column]))
            for row, column in zip(rows, columns, strict=True)
        )
        row, column, value = places[0]
        where = f"the first {value} in row {row}, column {column} (from 0)"
        self.add(code, f"{text}: {count:,}, {where}", count, places)

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._findings, key=lambda finding: finding.level))


def _words(array: npt.NDArray[Any]) -> str:
    """Name an array's type for people."""
    kinds = {"O": "objects", "U": "text", "S": "bytes", "b": "booleans", "c": "complex numbers"}
    return kinds.get(array.dtype.kind, str(array.dtype))


def _report_numbering(array: npt.NDArray[Any], numbering: Numbering, report: _Report) -> None:
    """Report how the numbers were read, the places that hold no photo, and what floats hide."""
    if numbering.reading == "positions":
        report.add(
            "positions",
            f"{numbering.n_unknown:,} numbers are ids of no gallery photo, so all are read as row "
            "positions in gallery.csv, from 0",
        )
    elif numbering.ambiguous:
        report.add(
            "ambiguous",
            "the numbers could be ids or row positions in gallery.csv; they are read as ids",
        )
    if array.dtype.kind == "f":
        report.add("float_ids", f"the ids are stored as {array.dtype}, integers were expected")
        # float32 holds whole numbers up to 2^24 exactly, float16 up to 2^11.
        exact = 2.0 ** (np.finfo(array.dtype).nmant + 1)
        if exact < np.iinfo(np.int32).max:
            coarse = np.isfinite(array) & (np.abs(array) > exact)
            text = f"ids larger than {array.dtype} holds exactly"
            report.add_places("rounded", text, array, coarse)
    if not (numbering.positions < 0).any():
        return
    what = "ids" if numbering.reading == "ids" else "row positions"
    for code, kind, text in (
        ("nan", NAN, "empty places (NaN)"),
        ("infinite", INFINITE, "infinite numbers"),
        ("fraction", FRACTION, "numbers that are not whole"),
        ("blank", BLANK, "places that hold -1, no photo"),
        ("unknown_id", UNKNOWN, f"{what} of no gallery photo"),
    ):
        report.add_places(code, text, array, numbering.positions == kind)
