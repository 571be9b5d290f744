"""`shoplens catalog sweep`: remove uploads that nothing needs."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.catalog import open_catalog
from shoplens.catalog.uploads import remove_upload, unused_uploads, uploads_beside
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option
from shoplens.report.counts import counted


@click.command()
@click.argument("uri", metavar="URI")
@click.option(
    "--uploads",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the service keeps uploads: its setting of that name. By default the folder beside "
    "the catalogue whose name ends in -uploads.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def sweep(uri: str, uploads: Path | None, dry_run: bool, json_file: str | None) -> None:
    """Remove the files of uploaded photos that the catalogue does not hold any more.

    A service that is asked to remove a photo removes its file, too. This is for photos that were
    removed otherwise, as by `shoplens catalog delete`. The service may run meanwhile. Files that
    are not an hour old stay.

    \b
    Example:
      shoplens catalog sweep shop/ --dry-run
      shoplens catalog sweep shop/
    """
    folder = uploads_beside(uri) if uploads is None else uploads
    if folder is None:
        raise click.UsageError(f"name the folder of uploads of {uri} with --uploads")
    with open_catalog(uri, read_only=True) as catalog:
        unused = unused_uploads(catalog, folder)
    removed = unused if dry_run else [upload for upload in unused if remove_upload(upload)]
    n_bytes = sum(upload.n_bytes for upload in removed)
    results = Results(json_file)
    done = "would be removed" if dry_run else "removed"
    results.line(f"{counted(len(removed), 'file')} {done}, {n_bytes / 1e6:,.1f} MB")
    write_json(
        json_file,
        {
            "folder": str(folder),
            "dry_run": dry_run,
            "n_removed": len(removed),
            "bytes": n_bytes,
            "files": [upload.file.name for upload in removed],
        },
    )
