"""`shoplens models`."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from shoplens.cli.console import results_console, write_json
from shoplens.cli.options import json_option
from shoplens.models import list_models


@click.command()
@json_option
def models(json_file: str | None) -> None:
    """List the models that can be named with --model.

    A folder or zip with model.onnx and recipe.json can be given instead of a name.

    \b
    Example:
      shoplens models --json -
    """
    found = list_models()
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("name", "dims", "input", "MB", "licence"):
        table.add_column(name, no_wrap=True)
    for info in found:
        recipe = info.recipe
        table.add_row(
            recipe.name + (" (default)" if info.default else ""),
            " / ".join(str(n) for n in (recipe.dimension, *reversed(recipe.nested))),
            f"{recipe.input_size} px",
            f"{info.megabytes:.1f}",
            recipe.licence,
        )
    console = results_console(json_file)
    console.print(table)
    for info in found:
        console.print(f"{info.recipe.name}, fingerprint {info.fingerprint}")
        for source in info.recipe.sources:
            console.print(f"  {source}")
    write_json(
        json_file,
        {
            "models": [
                {
                    "name": info.recipe.name,
                    "version": info.recipe.version,
                    "default": info.default,
                    "dimension": info.recipe.dimension,
                    "nested": list(info.recipe.nested),
                    "input_size": info.recipe.input_size,
                    "megabytes": round(info.megabytes, 3),
                    "licence": info.recipe.licence,
                    "fingerprint": info.fingerprint,
                    "sources": list(info.recipe.sources),
                }
                for info in found
            ]
        },
    )
