"""What the two retrieval benchmarks of DeepFashion (Liu et al. 2016) have in common.

::

    Anno/list_bbox_....txt          number of rows, names of columns, rows
    Eval/list_eval_partition.txt    the same
    Img/img/....jpg

Lists name photos from `img/` on. Copies often leave out the folders `Anno`, `Eval` and `Img`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shoplens.datasets.layouts.lists import spaced_rows
from shoplens.datasets.layouts.published import Collector, folders_to_try
from shoplens.errors import MissingError, PhotoError
from shoplens.files import read_text
from shoplens.records import Box

PARTITION = "list_eval_partition.txt"
_HEAD = 3
"""Lines that tell whose list it is: the number of rows, the names of columns, a row."""

Boxes = Mapping[str, Box | PhotoError]
"""By the name of a photo: its box, or what is wrong with it."""


def find_partition(root: Path, n_columns: int, statuses: Sequence[str]) -> Path | None:
    """Return the folder whose photos are divided by a list of so many columns.

    Args:
        root: the folder that the user named.
        n_columns: of the list.
        statuses: what its last column may hold.
    """
    for folder in folders_to_try(root):
        path = list_path(folder, PARTITION, "Eval")
        if path is not None:
            rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
            if any(len(r) == n_columns and r[-1] in statuses for r in rows[:_HEAD]):
                return folder
    return None


def list_path(root: Path, name: str, usual: str) -> Path | None:
    """Return where a list is: in its usual folder, or beside the photos; None where there is none.

    Args:
        root: the dataset's.
        name: the list's.
        usual: the folder in which it is published.
    """
    tried = (root / usual / name, root / name)
    return next((path for path in tried if path.is_file()), None)


def partition_rows(
    root: Path, columns: Sequence[str], statuses: Sequence[str], collector: Collector
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the list that divides the photos, with their lines."""
    path = list_path(root, PARTITION, "Eval")
    if path is None:
        raise MissingError(f"{root} has no {PARTITION}, nor has its folder Eval")
    for row, fields in spaced_rows(path, columns, collector):
        if fields[-1] in statuses:
            yield row, fields
        else:
            collector.fault(PARTITION, row, fields[-1], f"is none of {', '.join(statuses)}")


class Photos:
    """Where the photos of a benchmark are, and their boxes.

    The boxes count pixels of the photos in `img`. If there are only the larger ones of
    `img_highres`, these are taken, without boxes.

    Args:
        root: the dataset's.
        boxes_list: the name of the list of boxes.
        columns: its columns; the last four are x_1, y_1, x_2, y_2.
        collector: told what is wrong.
    """

    def __init__(
        self, root: Path, boxes_list: str, columns: Sequence[str], collector: Collector
    ) -> None:
        self._above = "Img/" if (root / "Img" / "img").is_dir() else ""
        self._folder = "img"
        above = next((a for a in ("Img/", "") if (root / a / "img_highres").is_dir()), None)
        if above is not None and not (root / self._above / "img").is_dir():
            self._above, self._folder = above, "img_highres"
            collector.note(
                "the photos are those of img_highres; the boxes are left out, because they count "
                "pixels of the photos in img"
            )
        self._boxes: Boxes = {}
        path = list_path(root, boxes_list, "Anno")
        if self._folder == "img" and path is not None:
            self._boxes = dict(_boxes(path, columns, collector))
        elif path is None:
            collector.note(f"there is no {boxes_list}, so no photo has a box")

    def name(self, listed: str) -> str:
        """Return a photo's path relative to the root, for its name in the lists."""
        _, _, rest = listed.replace("\\", "/").partition("/")
        return f"{self._above}{self._folder}/{rest}"

    def box(self, listed: str) -> tuple[Box | None, PhotoError | None]:
        """Return a photo's box, None where it has none, and the problem of a box that is none."""
        found = self._boxes.get(listed)
        return (None, found) if isinstance(found, PhotoError) else (found, None)


def _boxes(
    path: Path, columns: Sequence[str], collector: Collector
) -> Iterator[tuple[str, Box | PhotoError]]:
    for row, (name, *_, x0, y0, x1, y1) in spaced_rows(path, columns, collector):
        try:
            left, top, right, bottom = (float(text) for text in (x0, y0, x1, y1))
        except ValueError:
            collector.fault(path.name, row, f"{x0} {y0} {x1} {y1}", "are not four numbers")
            continue
        try:
            yield name, Box.from_xywh(left, top, right - left, bottom - top)
        except PhotoError as error:
            yield name, error


def category_of(listed: str) -> str:
    """Return the kind of clothes, which is the folder below MEN, WOMEN, DRESSES and so on."""
    parts = listed.replace("\\", "/").split("/")
    return "/".join(parts[1:-2])
