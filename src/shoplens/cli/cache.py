"""`shoplens cache`."""

from __future__ import annotations

import click

from shoplens.cache import clear_cache, measure_cache
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option


@click.command()
@click.option(
    "--clear", is_flag=True, help="Remove the cache. What it holds can be computed again."
)
@json_option
def cache(clear: bool, json_file: str | None) -> None:
    """Show where the cache is and how large it is. It keeps vectors and converted models.

    You can name another folder in the environment variable SHOPLENS_CACHE.

    \b
    Example:
      shoplens cache --clear
    """
    held = clear_cache() if clear else measure_cache()
    text = f"{held.folder}: {held.n_files:,} files, {held.megabytes:,.1f} MB"
    Results(json_file).line(text + (" removed" if clear else ""))
    write_json(
        json_file,
        {
            "folder": str(held.folder),
            "n_files": held.n_files,
            "megabytes": round(held.megabytes, 3),
            "cleared": clear,
        },
    )
