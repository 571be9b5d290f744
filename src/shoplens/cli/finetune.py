"""`shoplens finetune`."""

from __future__ import annotations

from typing import Any

import click

from shoplens.adaptation.finetuning import finetune as fit
from shoplens.cli.adaptation_options import adaptation_options, tell_adapted
from shoplens.cli.console import progress_display
from shoplens.cli.options import boxes_option, columns_option, json_option, remote_option
from shoplens.datasets.dataset import read_dataset
from shoplens.records import BoxFrame


@click.command()
@click.argument("dataset", metavar="DATASET")
@adaptation_options
@click.option(
    "--network",
    is_flag=True,
    help="Tune the network's last stages as well, if that gains more. Takes minutes, and needs the "
    "extra [train].",
)
@boxes_option
@columns_option
@remote_option
@json_option
def finetune(
    dataset: str,
    settings: dict[str, Any],
    network: bool,
    box_frame: BoxFrame,
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> int:
    """Fit a model to your shop's labelled photos, and keep it if it gains.

    DATASET is a test set folder with gallery.csv and queries.csv: sellers' and users' photos whose
    products are known. There must be 20 products at least, and a hundred are useful. The last
    layer is fitted in closed form, in seconds once the photos are embedded, without torch. With
    --network, the last stages of the network are tuned as well; if you stop that, the same command
    goes on where it was. The model before and after is compared on products that had no
    part in the fit. If the gain is not more than chance, nothing is written and the exit code is 1.

    \b
    Example:
      shoplens finetune my-shop -o models/mine
      shoplens evaluate another-test-set --model models/mine
    """
    data = read_dataset(dataset, columns=columns, box_frame=box_frame, remote=remote)
    with progress_display() as progress:
        report = fit(data, network=network, progress=progress, **settings)
    return tell_adapted(report, "queries", json_file)
