"""`shoplens train`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import json_option
from shoplens.errors import MissingError


@click.command()
@click.argument("config_file", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder for the weights, curves, report and checkpoints.",
)
@click.option(
    "--tables",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder that the configuration's tables are relative to. By default its own folder.",
)
@click.option("--resume", is_flag=True, help="Continue the run that was stopped in the folder.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PICTURE",
    help="Only write a picture of augmented photos, to look at before a long run.",
)
@json_option
def train(
    config_file: Path,
    output: Path | None,
    tables: Path | None,
    resume: bool,
    sheet: Path | None,
    json_file: str | None,
) -> int:
    """Train a model as the YAML file CONFIG says.

    This needs the extra [train]. If a run was stopped, --resume continues it after its last epoch.
    `shoplens export` makes a model folder of the result.

    \b
    Example:
      shoplens train examples/training/furniture.yaml -o runs/furniture
      shoplens export runs/furniture -o models/furniture
    """
    try:
        from shoplens.training.config import read_config  # noqa: PLC0415
        from shoplens.training.loop import train as run_training  # noqa: PLC0415
        from shoplens.training.sheets import write_sheet  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(f"training needs: pip install 'shoplens[train]' ({error})") from error
    config = read_config(config_file, tables)
    if sheet is not None:
        write_sheet(config, sheet)
        message(f"wrote {sheet}")
        return 0
    if output is None:
        raise click.UsageError("name --output, to train, or --sheet, to look at the views")
    with progress_display() as progress:
        report = run_training(config, output, resume=resume, progress=progress)
    message(
        f"{report.steps:,} steps on {report.n_products:,} products of {report.n_photos:,} photos; "
        f"{report.n_held_out:,} products kept out; {len(report.failures):,} photos left out"
    )
    for failure in report.failures[:20]:
        message(f"  {failure.name}: {failure.detail}")
    rows = []
    for source, after in report.scores["result"].items():
        before = report.scores["start"][source]
        interval = f"{after.low:.4f} .. {after.high:.4f}"
        rows.append((source, f"{before.value:.4f}", f"{after.value:.4f}", interval))
    Results(json_file).table(
        ("source", "before", "after", "95 % interval"),
        rows,
        numbers=("before", "after", "95 % interval"),
        title="mAP@1000 on products kept out",
    )
    write_json(json_file, report.to_json())
    return 0
