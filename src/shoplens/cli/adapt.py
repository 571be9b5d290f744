"""`shoplens adapt`."""

from __future__ import annotations

from typing import Any

import click

from shoplens.adaptation.adapting import adapt as fit
from shoplens.adaptation.shop_photos import read_shop, read_shoppers
from shoplens.cli.adaptation_options import adaptation_options, tell_adapted
from shoplens.cli.console import message, progress_display
from shoplens.cli.options import columns_option, json_option, remote_option


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option(
    "--user-photos",
    metavar="SOURCE",
    help="Photos of your users, without labels: a folder, or a folder or table with boxes "
    "(queries.csv). 64 are enough.",
)
@adaptation_options
@columns_option
@remote_option
@json_option
def adapt(
    source: str,
    user_photos: str | None,
    settings: dict[str, Any],
    columns: dict[str, str],
    remote: bool,
    json_file: str | None,
) -> int:
    """Fit a model to your shop's photos without labels, and keep it if that helps.

    SOURCE is a folder of sellers' photos, a table such as gallery.csv, a test set folder (whose
    queries are not looked at), or a catalogue. Photos as users take them are
    made of these: badly boxed, tilted, on clutter. The last layer is fitted to look past such
    differences, in closed form; the network stays as it is, and torch is not needed. The model
    before and after is compared on made photos that had no part in the fit. If the gain is
    small or not certain, nothing is written and the exit code is 1.

    \b
    Example:
      shoplens adapt photos/ -o models/mine
      shoplens catalog migrate shop --model models/mine
    """
    photos = read_shop(source, columns=columns, remote=remote)
    users = None if user_photos is None else read_shoppers(user_photos, remote=remote)
    with progress_display() as progress:
        report = fit(photos, user_photos=users, progress=progress, **settings)
    code = tell_adapted(report, "made photos", json_file)
    if "seller" in report.trim and report.kept:
        message("it is shown sellers' photos without their plain borders")
    return code
