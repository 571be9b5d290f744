"""`shoplens catalog verify`, `compact` and `recall`: keep a catalogue sound and fast."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.catalog import measure_recall, open_catalog
from shoplens.cli.console import Results, progress_display, write_json
from shoplens.cli.options import json_option
from shoplens.report.counts import counted


@click.command()
@click.argument("uri", metavar="URI")
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be mended: derived files are made again, and what can be read is kept.",
)
@click.option(
    "--backup",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --repair, take photos that cannot be read any more from this backup.",
)
@json_option
def verify(uri: str, repair: bool, backup: Path | None, json_file: str | None) -> int:
    """Check everything that is stored against its checksums, and list the faults.

    The exit code is 1 when a fault is left.

    \b
    Example:
      shoplens catalog verify shop/
      shoplens catalog verify shop/ --repair --backup backup.sqlite
    """
    if backup is not None and not repair:
        raise click.UsageError("--backup belongs to --repair")
    with open_catalog(uri, read_only=not repair) as catalog, progress_display() as progress:
        found = catalog.verify(repair=repair, backup=backup, progress=progress)
    results = Results(json_file)
    results.table(
        ("where", "problem", "repaired"),
        ((fault.where, fault.problem, "yes" if fault.repaired else "no") for fault in found.faults),
        empty="no faults",
    )
    results.note(f"{counted(found.n_photos, 'photo')} checked")
    write_json(json_file, found.to_json())
    return 0 if found.ok else 1


@click.command()
@click.argument("uri", metavar="URI")
@json_option
def compact(uri: str, json_file: str | None) -> None:
    """Bring a catalogue into its fastest form: build indexes, give back space.

    Searches go on meanwhile. It is worthwhile after large changes.

    \b
    Example:
      shoplens catalog compact shop/
    """
    with open_catalog(uri) as catalog:
        with progress_display() as progress:
            catalog.compact(progress=progress)
        held = catalog.stats()
    Results(json_file).line(f"{uri}: {counted(held.n_photos, 'photo')}, compacted")
    write_json(json_file, held.to_json())


@click.command()
@click.argument("uri", metavar="URI")
@click.option(
    "-k",
    "depth",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="How many hits are compared.",
)
@click.option(
    "--queries",
    "n_queries",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="How many photos of the catalogue are searched for.",
)
@click.option("--where", metavar="EXPR", help="Also measure searches with this filter.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides which photos are drawn.",
)
@json_option
def recall(
    uri: str, depth: int, n_queries: int, where: str | None, seed: int, json_file: str | None
) -> None:
    """Compare the usual search with the exact one: what it finds, and how long both take.

    Photos of the catalogue are searched for, each among the others. recall@k is the share of the k
    exact hits that the usual search finds.

    \b
    Example:
      shoplens catalog recall shop/ -k 100 --where 'price < 50'
    """
    filters = [None] if where is None else [None, where]
    with open_catalog(uri, read_only=True) as catalog, progress_display() as progress:
        reports = [
            measure_recall(
                catalog, k=depth, n_queries=n_queries, where=one, seed=seed, progress=progress
            )
            for one in filters
        ]
    numbers = ("photos", "queries", "answered exactly", "recall", "lowest")
    times = ("p50 ms", "p99 ms", "exact p50 ms", "exact p99 ms")
    Results(json_file).table(
        ("filter", *numbers, *times),
        (
            (
                report.where or "none",
                f"{report.n_photos:,}",
                f"{report.n_queries:,}",
                f"{report.n_exact:,}",
                f"{report.recall:.4f}",
                f"{report.lowest:.4f}",
                *(
                    f"{milliseconds:.1f}"
                    for spent in (report.usual_ms, report.exact_ms)
                    for milliseconds in (spent.p50, spent.p99)
                ),
            )
            for report in reports
        ),
        numbers=(*numbers, *times),
        title=f"recall@{depth}",
    )
    write_json(json_file, {"results": [report.to_json() for report in reports]})
