"""`shoplens catalog migrate`."""

from __future__ import annotations

import click

from shoplens.catalog import migrate as migrate_catalog
from shoplens.catalog import open_catalog
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import json_option, remote_option, workers_option
from shoplens.cli.telling import SHOWN_FAILURES
from shoplens.models import load_encoder
from shoplens.models.devices import CPU
from shoplens.report.counts import counted


@click.command()
@click.argument("uri", metavar="URI")
@click.option(
    "--model",
    required=True,
    metavar="NAME_OR_PATH",
    help="The new model: its name (see `shoplens models`), or a folder or zip with model.onnx and "
    "recipe.json.",
)
@click.option(
    "--dimension",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use only the first N components of vectors, if the model was trained for it.",
)
@click.option(
    "--device",
    default=CPU,
    metavar="NAME",
    show_default=True,
    help="Where the model runs, as in `shoplens embed`.",
)
@click.option(
    "--allow-failures",
    is_flag=True,
    help="Switch although some photos cannot be embedded. They are kept as failures, and searches "
    "do not find them.",
)
@remote_option
@workers_option
@json_option
def migrate(
    uri: str,
    model: str,
    dimension: int | None,
    device: str,
    allow_failures: bool,
    remote: bool,
    workers: int | None,
    json_file: str | None,
) -> int:
    """Embed all photos of a catalogue with another model, and switch to it at once.

    The photos are read again where they were indexed from. Until the switch, searches go on with
    the old model. If the command is stopped, run it again to resume: vectors that were computed
    come from the cache. If a photo cannot be embedded, nothing is switched and the exit code is 1,
    except with --allow-failures.

    \b
    Example:
      shoplens catalog migrate shop/ --model models/mine
    """
    encoder = load_encoder(model, dimension=dimension, device=device)
    with open_catalog(uri) as catalog, progress_display() as progress:
        report = migrate_catalog(
            catalog,
            encoder,
            remote=remote,
            allow_failures=allow_failures,
            workers=workers,
            progress=progress,
        )
    for failed in report.failed[:SHOWN_FAILURES]:
        message(f"  {failed.reason}: {failed.photo_id} {failed.path}: {failed.detail}")
    if len(report.failed) > SHOWN_FAILURES:
        more = len(report.failed) - SHOWN_FAILURES
        message(f"  ... and {more:,} more (--json lists all)")
    photos = counted(report.n_photos, "photo")
    if report.switched:
        Results(json_file).line(
            f"{uri}: {photos} of {report.new.name}; {report.n_cached:,} from the cache, "
            f"{len(report.failed):,} failed"
        )
    else:
        message(
            f"{counted(len(report.failed), 'photo')} cannot be embedded, so {uri} is still of "
            f"{report.old.name}. Bring them back or delete them and run this again, or switch "
            "without them: --allow-failures"
        )
    write_json(json_file, report.to_json())
    return 0 if report.switched else 1
