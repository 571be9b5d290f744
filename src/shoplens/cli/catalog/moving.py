"""`shoplens catalog backup`, `restore`, `export`, `import` and `copy`: move a catalogue."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.catalog import copy_catalog, export_catalog, import_catalog, open_catalog
from shoplens.catalog import restore as restore_catalog
from shoplens.cli.console import Results, progress_display, write_json
from shoplens.cli.options import distinct, json_option, writable
from shoplens.report.counts import counted


@click.command()
@click.argument("uri", metavar="URI")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE", callback=writable)
@json_option
def backup(uri: str, file: Path, json_file: str | None) -> None:
    """Write everything that a catalogue holds to FILE, as of one moment.

    Searches and changes go on meanwhile. FILE must be new: an SQLite file, or a Parquet file for a
    catalogue on a Milvus server.

    \b
    Example:
      shoplens catalog backup shop/ shop-monday.backup
      shoplens catalog restore shop-monday.backup shop-again/
    """
    distinct(file, json_file)
    with open_catalog(uri, read_only=True) as catalog, progress_display() as progress:
        catalog.backup(file, progress=progress)
    n_bytes = file.stat().st_size
    Results(json_file).line(f"wrote {file}: {n_bytes / 1e6:,.1f} MB")
    write_json(json_file, {"output": str(file), "n_bytes": n_bytes})


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("uri", metavar="URI")
@json_option
def restore(file: Path, uri: str, json_file: str | None) -> None:
    """Make a new catalogue at URI of a backup.

    FILE is what `shoplens catalog backup` or `shoplens catalog export` wrote, of either engine.
    Nothing is overwritten: there must be no catalogue at URI.

    \b
    Example:
      shoplens catalog restore shop-monday.backup shop-again/
    """
    with progress_display() as progress:
        restore_catalog(file, uri, progress=progress)
    with open_catalog(uri, read_only=True) as catalog:
        held = catalog.stats()
    Results(json_file).line(f"{uri}: {counted(held.n_photos, 'photo')}, {held.n_failed:,} failed")
    write_json(json_file, held.to_json())


@click.command()
@click.argument("uri", metavar="URI")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE", callback=writable)
@json_option
def export(uri: str, file: Path, json_file: str | None) -> None:
    """Write all photos of a catalogue, vectors included, to a Parquet file (extra [parquet]).

    Each attribute is a column. `shoplens catalog import` restores every photo as it was.

    \b
    Example:
      shoplens catalog export shop/ shop.parquet
    """
    distinct(file, json_file)
    with open_catalog(uri, read_only=True) as catalog, progress_display() as progress:
        written = export_catalog(catalog, file, progress=progress)
    Results(json_file).line(
        f"wrote {file}: {counted(written.n_photos, 'photo')}, {written.n_failed:,} failed"
    )
    write_json(json_file, {"output": str(file), **written.to_json()})


@click.command("import")
@click.argument("uri", metavar="URI")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--assume-model",
    is_flag=True,
    help="If FILE does not say which model made its vectors, take them for those of the "
    "catalogue's model.",
)
@json_option
def import_(uri: str, file: Path, assume_model: bool, json_file: str | None) -> None:
    """Add the photos of a Parquet file to a catalogue, which is created if it does not exist.

    FILE is what `shoplens catalog export` or `shoplens embed` wrote, or has the same columns.
    Further columns are attributes. All rows are checked before the first is put in. Photos with ids
    that are there already are replaced.

    \b
    Example:
      shoplens catalog import shop/ shop.parquet
    """
    with open_catalog(uri, create=True) as catalog, progress_display() as progress:
        put_in = import_catalog(file, catalog, assume_model=assume_model, progress=progress)
    done = put_in.upserted
    Results(json_file).line(
        f"{uri}: {done.n_added:,} added, {done.n_changed:,} changed, "
        f"{done.n_unchanged:,} unchanged, {put_in.n_failed:,} failed"
    )
    write_json(json_file, put_in.to_json())


@click.command()
@click.argument("source", metavar="SOURCE_URI")
@click.argument("target", metavar="TARGET_URI")
@json_option
def copy(source: str, target: str, json_file: str | None) -> None:
    """Copy a catalogue into an empty one, of the same engine or another, and compare the two.

    TARGET_URI is created if it does not exist. If the command is stopped, run it again to resume.
    At the end everything is read back, and its checksum must be that of the source.

    \b
    Example:
      shoplens catalog copy shop/ milvus://localhost:19530/shop
    """
    with (
        open_catalog(source, read_only=True) as old,
        open_catalog(target, create=True) as new,
        progress_display() as progress,
    ):
        copied = copy_catalog(old, new, progress=progress)
    Results(json_file).line(
        f"{target}: {counted(copied.n_photos, 'photo')} and {copied.n_failed:,} failed, "
        f"all the same as in {source} (SHA-256 {copied.sha256})"
    )
    write_json(json_file, copied.to_json())
