"""`shoplens dataset leaks`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    columns_option,
    distinct,
    json_option,
    remote_option,
    workers_option,
    writable,
)
from shoplens.curation.data_pages import write_leaks
from shoplens.curation.duplicates import THRESHOLD
from shoplens.curation.leaks import find_leaks
from shoplens.curation.reading import read_photos
from shoplens.report.counts import counted

_SHOWN = 20


@click.command()
@click.argument("train", metavar="TRAIN")
@click.argument("test", metavar="TEST")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=THRESHOLD,
    show_default=True,
    metavar="D",
    help="Largest distance of near-duplicates; 0 finds only equal pictures.",
)
@click.option("--mirrored", is_flag=True, help="Look for mirror images as well.")
@click.option(
    "--products/--no-products",
    default=True,
    show_default=True,
    help="Compare product ids. Equal ids mean nothing if the sets were numbered independently.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=writable,
    help="Also write a page (HTML) that shows the pairs.",
)
@columns_option
@remote_option
@workers_option
@json_option
def leaks(
    train: str,
    test: str,
    threshold: float,
    mirrored: bool,
    products: bool,
    output: Path | None,
    columns: dict[str, str],
    remote: bool,
    workers: int | None,
    json_file: str | None,
) -> int:
    """Find what a training set and a test set share: photos, near-duplicates, products.

    TRAIN and TEST are each a test set, a training table (CSV with img_path, domain, product_id), a
    gallery, or any folder of images. The exit code is 1 when anything is shared.

    \b
    Example:
      shoplens dataset leaks train.csv testset/ -o leaks.html
    """
    distinct(output, json_file)
    of_train, of_test = (read_photos(s, columns=columns, remote=remote) for s in (train, test))
    with progress_display() as progress:
        found = find_leaks(
            of_train,
            of_test,
            products=products,
            threshold=threshold,
            mirrored=mirrored,
            workers=workers,
            progress=progress,
        )
    results = Results(json_file)
    n_shown = _SHOWN if results.on_terminal else len(found.leaks)
    results.table(
        ("kind", "distance", "training photo", "test photo"),
        (
            (leak.kind, f"{leak.distance:.4f}", leak.first.name, leak.second.name)
            for leak in found.leaks[:n_shown]
        ),
        numbers=("distance",),
        title=f"shared pictures: {counted(len(found.leaks), 'pair')}",
        empty="no shared pictures",
    )
    if len(found.leaks) > n_shown:
        results.note(f"... and {len(found.leaks) - n_shown:,} more (--json lists all)")
    by_kind = ", ".join(f"{count:,} {kind}" for kind, count in found.n_by_kind.items())
    results.note(
        f"{found.n_test_photos:,} of {counted(found.n_test, 'test photo')} "
        f"{'is' if found.n_test_photos == 1 else 'are'} among "
        f"{counted(found.n_train, 'training photo')}" + (f" ({by_kind})" if by_kind else "")
    )
    if found.n_contradicting:
        results.note(f"{counted(found.n_contradicting, 'pair')} of one picture under two products")
    if found.shared_products is None:
        results.note("products were not compared" + (": not known" if products else ""))
    else:
        some = ", ".join(found.shared_products[:5])
        results.note(
            f"in both: {counted(len(found.shared_products), 'product')}"
            + (f", {some}" if some else "")
            + (" ..." if len(found.shared_products) > 5 else "")
        )
    if found.failures:
        message(f"not compared: {counted(len(found.failures), 'photo')} (see `shoplens check`)")
    if output is not None:
        names = (Path(source).name or source for source in (train, test))
        write_leaks(output, "Leaks: {} and {}".format(*names), found)
        message(f"wrote {output}")
    write_json(json_file, found.to_json())
    return 0 if found.ok else 1
