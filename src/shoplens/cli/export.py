"""`shoplens export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import json_option
from shoplens.errors import MissingError


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The model folder to write.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16 is half the size at the same speed. int8 is a quarter of the size, and about twice "
    "as fast on processors with 8-bit products (VNNI, ARM dot products).",
)
@click.option(
    "--input-size",
    type=click.IntRange(min=32, max=1024),
    metavar="N",
    help="The side of the square input in pixels. By default as it was trained.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    metavar="FOLDER_OR_TABLE",
    help="Photos to check the model and to calibrate int8: a folder of images, a test set folder "
    "or a training table. By default those of the run.",
)
@click.option(
    "--evaluate-on",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="Also compare mAP@1000 of the model and of the network on this test set.",
)
@click.option("--name", help="The name of the model. By default that of the configuration.")
@click.option("--force", is_flag=True, help="Replace the model in the folder.")
@json_option
def export(
    run: Path,
    output: Path,
    precision: Literal["fp32", "fp16", "int8"],
    input_size: int | None,
    photos: Path | None,
    evaluate_on: Path | None,
    name: str | None,
    force: bool,
    json_file: str | None,
) -> None:
    """Make a model folder, for --model, of the run in the folder RUN of `shoplens train`.

    This needs the extra [train]. Using the model does not. The model's vectors are first compared
    with the network's vectors on photos. If they differ too much, nothing is written.

    \b
    Example:
      shoplens export runs/furniture -o models/furniture --precision int8
      shoplens evaluate examples/furniture --model models/furniture
    """
    try:
        from shoplens.training.export import METRIC, export_run  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(f"exporting needs: pip install 'shoplens[train]' ({error})") from error
    with progress_display() as progress:
        report = export_run(
            run,
            output,
            precision=precision,
            input_size=input_size,
            photos=photos,
            evaluate_on=evaluate_on,
            name=name,
            force=force,
            progress=progress,
        )
    check, recipe = report.check, report.recipe
    results = Results(json_file)
    results.line(
        f"{recipe.name}, {precision}: {report.megabytes:.1f} MB, {recipe.input_size} px, "
        f"{recipe.dimension} dimensions, fingerprint {report.fingerprint}"
    )
    results.line(
        f"cosine with the network on {check.n_photos} photos: lowest {check.lowest:.5f}, "
        f"mean {check.mean:.5f}; largest difference {check.largest_difference:.1e}"
    )
    if report.scores is not None:
        network, model = report.scores["network"], report.scores["model"]
        results.line(f"{METRIC}: network {network:.4f}, model {model:.4f}")
    message(f"wrote {output}: use it with --model {output}")
    write_json(json_file, report.to_json())
