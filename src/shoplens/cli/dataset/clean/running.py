"""What the cleaning commands have in common: their arguments, and what they do with a result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import columns_option, distinct, json_option, writable
from shoplens.curation.cleaning.changes import Cleaning
from shoplens.curation.cleaning.page import write_cleaning
from shoplens.curation.cleaning.tables import DatasetTables, read_tables
from shoplens.curation.cleaning.writing import write_cleaned
from shoplens.curation.placing import Placing
from shoplens.folders import require_new_folder
from shoplens.progress import Progress
from shoplens.records import BoxFrame
from shoplens.report.counts import counted

_SHOWN = 10
"""Changes that a terminal shows."""


@dataclass(frozen=True, slots=True)
class CleaningRun:
    """Where a dataset comes from and where the result goes."""

    source: Path
    folder: Path | None
    """None for a dry run."""
    page: Path | None
    how: Placing
    columns: dict[str, str]
    json_file: str | None

    def read(self, box_frame: BoxFrame = "upright") -> DatasetTables:
        """Read the dataset."""
        return read_tables(self.source, columns=self.columns, box_frame=box_frame)

    def finish(self, cleaning: Cleaning, progress: Progress) -> None:
        """Write what was asked for, and tell what was found."""
        if self.folder is not None:
            write_cleaned(cleaning, self.folder, how=self.how, progress=progress)
        results = Results(self.json_file)
        n_shown = _SHOWN if results.on_terminal else len(cleaning.changes)
        results.table(
            ("photo", "change", "reason"),
            (
                (
                    change.photo.name,
                    "left out" if change.becomes is None else f"{change.kind} {change.becomes}",
                    change.reason,
                )
                for change in cleaning.changes[:n_shown]
            ),
            empty="nothing to change",
        )
        if len(cleaning.changes) > n_shown:
            results.note(f"... and {len(cleaning.changes) - n_shown:,} more (--json lists all)")
        n_changed = len(cleaning.changes) - cleaning.n_left_out
        results.note(
            f"{counted(len(cleaning.tables.photos), 'photo')}: "
            f"{cleaning.n_left_out:,} left out, {n_changed:,} changed"
        )
        for name, count in cleaning.counts.items():
            message(f"{name.removeprefix('n_').replace('_', ' ')}: {count:,}")
        if cleaning.failures:
            photo, error = cleaning.failures[0]
            message(
                f"{counted(len(cleaning.failures), 'photo')} could not be looked at and stay, such "
                f"as {photo.name}: {error}"
            )
        if self.page is not None:
            name = self.source.name or str(self.source)
            write_cleaning(self.page, f"{name}: clean {cleaning.task}", cleaning)
            message(f"wrote {self.page}")
        if self.folder is None:
            message("dry run: no dataset was written")
        else:
            message(f"wrote {self.folder}")
        output = None if self.folder is None else str(self.folder)
        write_json(self.json_file, {"output": output, **cleaning.to_json()})


def cleaning_options(command: Callable[..., int | None]) -> Callable[..., None]:
    """Add the arguments and options of cleaning commands; they reach the command as `run`."""

    @functools.wraps(command)
    def collected(
        source: Path,
        folder: Path | None,
        dry_run: bool,
        page: Path | None,
        how: Placing,
        columns: dict[str, str],
        json_file: str | None,
        **others: Any,
    ) -> None:
        distinct(page, json_file)
        if dry_run == (folder is not None):
            raise click.UsageError("name OUT_DIR, or say --dry-run; one of the two")
        if folder is not None:
            require_new_folder(folder)
        command(run=CleaningRun(source, folder, page, how, columns, json_file), **others)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


_OPTIONS = (
    click.argument("source", type=click.Path(path_type=Path), metavar="DATASET"),
    click.argument("folder", type=click.Path(path_type=Path), metavar="[OUT_DIR]", required=False),
    click.option("--dry-run", is_flag=True, help="Write no dataset; name no OUT_DIR."),
    click.option(
        "-o",
        "--output",
        "page",
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=writable,
        help="Also write a page (HTML) that shows the changes.",
    ),
    click.option(
        "--photos",
        "how",
        type=click.Choice(["copy", "link"]),
        default="copy",
        show_default=True,
        help="Copy the photos, or make hard links, which take no space but need one disk.",
    ),
    columns_option,
    json_option,
)
