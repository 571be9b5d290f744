"""`shoplens catalog stats`, `get`, `failures` and `delete`: what a catalogue holds."""

from __future__ import annotations

from typing import Any

import click

from shoplens.catalog import Entry, open_catalog
from shoplens.catalog.entry import failures_json
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option
from shoplens.errors import MissingError
from shoplens.records import REASONS
from shoplens.report.counts import counted


@click.command()
@click.argument("uri", metavar="URI")
@json_option
def stats(uri: str, json_file: str | None) -> None:
    """Show what a catalogue holds: photos, products, failures, its model and attributes.

    \b
    Example:
      shoplens catalog stats shop/
    """
    with open_catalog(uri, read_only=True) as catalog:
        held = catalog.stats()
    model = held.model
    rows: list[tuple[str, object]] = [
        ("engine", held.engine),
        ("model", "none yet" if model is None else f"{model.name} ({model.fingerprint})"),
        ("dimension", None if model is None else model.dimension),
        ("photos", f"{held.n_photos:,}"),
        ("products", f"{held.n_products:,}"),
        ("failed photos", f"{held.n_failed:,}"),
        ("re-ranked by", "+".join(held.chain) or "nothing"),
        *((f"attribute {name}", kind) for name, kind in held.attributes.items()),
        *((name.removeprefix("n_"), _shown(value)) for name, value in held.details.items()),
    ]
    Results(json_file).table(("quantity", "value"), rows, title=uri)
    write_json(json_file, held.to_json())


@click.command()
@click.argument("uri", metavar="URI")
@click.argument("photo_ids", nargs=-1, required=True, metavar="PHOTO_ID...")
@json_option
def get(uri: str, photo_ids: tuple[str, ...], json_file: str | None) -> None:
    """Show photos of a catalogue with their products and attributes.

    \b
    Example:
      shoplens catalog get shop/ 919670327
    """
    found: list[Entry] = []
    with open_catalog(uri, read_only=True) as catalog:
        for photo_id in photo_ids:
            if (entry := catalog.get(photo_id)) is None:
                raise MissingError(f"{uri}: there is no photo {photo_id}")
            found.append(entry)
    Results(json_file).table(
        ("photo", "product", "path", "source", "attributes"),
        (
            (
                entry.photo_id,
                entry.product_id,
                entry.path,
                entry.source,
                ", ".join(f"{name}={_shown(v)}" for name, v in entry.attributes.items()),
            )
            for entry in found
        ),
    )
    write_json(json_file, {"photos": [_entry_json(entry) for entry in found]})


@click.command()
@click.argument("uri", metavar="URI")
@json_option
def failures(uri: str, json_file: str | None) -> None:
    """List the photos that could not be embedded, with the reasons.

    `shoplens index` tries them again.

    \b
    Example:
      shoplens catalog failures shop/
    """
    with open_catalog(uri, read_only=True) as catalog:
        failed = list(catalog.failures())
    results = Results(json_file)
    results.table(
        ("photo", "reason", "path", "detail"),
        ((photo.photo_id, photo.reason, photo.path, photo.detail) for photo in failed),
        empty="no photo failed",
    )
    told = failures_json(failed)
    for reason, count in told["failures"].items():
        results.note(f"{count:,} {reason}: {REASONS.get(reason, reason)}")
    write_json(json_file, told)


@click.command()
@click.argument("uri", metavar="URI")
@click.option("--photo-id", "photo_ids", multiple=True, metavar="ID", help="A photo; repeatable.")
@click.option(
    "--product-id",
    "product_ids",
    multiple=True,
    metavar="ID",
    help="A product, of which all photos are removed; repeatable.",
)
@click.option(
    "--where",
    metavar="EXPR",
    help="A filter, such as 'discontinued = true': all photos that pass it are removed.",
)
@json_option
def delete(
    uri: str,
    photo_ids: tuple[str, ...],
    product_ids: tuple[str, ...],
    where: str | None,
    json_file: str | None,
) -> None:
    """Remove photos from a catalogue: by their ids, their products, or a filter.

    The next search does not find them any more. The photos' files stay where they are; those of
    photos that were uploaded to a service are removed by `shoplens catalog sweep`.

    \b
    Example:
      shoplens catalog delete shop/ --product-id 6471 --product-id 6472
      shoplens catalog delete shop/ --where 'discontinued = true'
    """
    if sum(map(bool, (photo_ids, product_ids, where is not None))) != 1:
        raise click.UsageError("give --photo-id, --product-id or --where: one of the three")
    if where is not None and not where.strip():
        raise click.UsageError("--where is empty; a filter is needed")
    with open_catalog(uri) as catalog:
        n_removed = catalog.delete(photo_ids or None, product_ids=product_ids or None, where=where)
        n_left = catalog.count()
    Results(json_file).line(f"{counted(n_removed, 'photo')} removed, {n_left:,} left")
    if not n_removed:
        message("nothing in the catalogue matched")
    write_json(json_file, {"n_removed": n_removed, "n_photos": n_left})


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _entry_json(entry: Entry) -> dict[str, Any]:
    box = entry.box
    return {
        "photo_id": entry.photo_id,
        "product_id": entry.product_id,
        "path": entry.path,
        "source": entry.source,
        "sha256": entry.sha256,
        "box": None if box is None else [box.x0, box.y0, box.width, box.y1 - box.y0],
        "attributes": dict(entry.attributes),
    }
