"""`shoplens index`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from shoplens.catalog.chains import kept_chain
from shoplens.catalog.index_report import IndexReport
from shoplens.catalog.indexing import index as index_photos
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.cli.catalog_reranking import keep_chosen_chain
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    CATALOG_HELP,
    columns_option,
    embedding_options,
    json_option,
    model_is_named,
    remote_option,
    settings_for,
)
from shoplens.cli.reranking_options import Reranking, kept_rerank_options
from shoplens.cli.telling import tell_failures, tell_others
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import MissingError, RankingError
from shoplens.regions.choosing import MOST


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option(
    "--catalog",
    required=True,
    metavar="URI",
    help=f"The catalogue: {CATALOG_HELP}. It is created if it does not exist.",
)
@click.option(
    "--sync",
    is_flag=True,
    help="Also remove photos that came from SOURCE before and are not in it any more.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would change; write nothing and embed nothing.",
)
@click.option(
    "--regions",
    type=click.IntRange(0, MOST),
    metavar="N",
    help=f"Also give N regions of each photo vectors of their own, up to {MOST}, which searches "
    "compare as well (docs/regions.md). The catalogue keeps this number. By default the number "
    "that it has, at first 0.",
)
@kept_rerank_options
@embedding_options
@columns_option
@remote_option
@json_option
def index(
    source: str,
    catalog: str,
    sync: bool,
    dry_run: bool,
    regions: int | None,
    reranking: Reranking,
    embedding: EmbeddingSettings,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> None:
    """Add the photos of SOURCE to a catalogue, and keep it up to date.

    SOURCE is a folder of photos, a CSV table such as gallery.csv, an archive, a Parquet file or a
    URL. Run the command again when SOURCE has changed: only new and changed photos are
    embedded, and a run that was stopped resumes. Without --model, the catalogue's model is used.
    Photos that cannot be used are counted by reason and tried again each time.

    \b
    Example:
      shoplens index photos/ --catalog shop
      shoplens search snapshot.jpg --catalog shop --group-by product
    """
    _check(reranking, dry_run)
    known = _model_of(catalog)
    encoder = None
    if model_is_named() or not dry_run:
        encoder = settings_for(known, embedding).load_encoder()
    limit = embedding.max_failures
    n_photos = 0
    if limit is not None and limit[1]:  # A share of the photos.
        n_photos = len(read_gallery(source, columns=columns, remote=remote))
    with progress_display() as progress:
        report = index_photos(
            source,
            catalog,
            sync=sync,
            dry_run=dry_run,
            encoder=encoder,
            regions=regions,
            rerank=reranking.chain if reranking.named else None,
            cache=embedding.use_cache,
            retry_failed=embedding.retry_failed,
            max_failures=embedding.failure_limit(n_photos),
            workers=embedding.workers,
            columns=columns,
            remote=remote,
            progress=progress,
        )
    _tell(report, json_file)
    told: dict[str, Any] = {}
    if reranking.chain is None:
        chain, told = keep_chosen_chain(reranking, catalog, embedding)
        report = replace(report, chain=chain.names)
    if reranking.named:
        verb = "would be re-ranked" if dry_run else "are re-ranked"
        message(f"searches {verb} by {'+'.join(report.chain) or 'nothing'} from now on")
    write_json(json_file, {**report.to_json(), **told})


def _check(reranking: Reranking, dry_run: bool) -> None:
    """Refuse a chain that the catalogue cannot keep, before anything is indexed."""
    if reranking.chain is None:
        if dry_run:
            raise click.UsageError(
                "--rerank auto chooses on photos that are indexed, and --dry-run indexes none: "
                "leave out one of the two"
            )
        return
    try:
        kept_chain(reranking.chain)
    except RankingError as error:
        raise click.UsageError(str(error)) from error


def _model_of(catalog: str) -> ModelStamp | None:
    try:
        with open_catalog(catalog, read_only=True) as opened:
            return opened.model
    except MissingError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        return None


def _tell(report: IndexReport, json_file: str | None) -> None:
    tell_others(report.n_others)
    tell_failures(report.failures)
    if report.n_kept:
        told = "stays in the catalogue with its earlier vector"
        if report.n_kept > 1:
            told = "stay in the catalogue with their earlier vectors"
        message(f"  {report.n_kept:,} of them {told}")
    if report.n_taken_over:
        noun = "photo" if report.n_taken_over == 1 else "photos"
        message(f"{report.n_taken_over:,} {noun} came from another source before")
    message(f"time: {report.seconds['index']:.1f} s")
    verb = "would be " if report.dry_run else ""
    counts = {
        "added": report.n_added,
        "changed": report.n_changed,
        "unchanged": report.n_unchanged,
        "removed": report.n_removed,
        "failed": report.n_failed,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    Results(json_file).line(f"{report.catalog}: {verb}{told}")
