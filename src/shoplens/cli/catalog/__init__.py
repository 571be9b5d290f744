"""`shoplens catalog`: look after a catalogue of photos."""

from __future__ import annotations

import click

from shoplens.cli.lazy import LazyGroup

_HERE = "shoplens.cli.catalog"
_COMMANDS = {
    "stats": (f"{_HERE}.contents", "Show what a catalogue holds."),
    "get": (f"{_HERE}.contents", "Show photos with their attributes."),
    "failures": (f"{_HERE}.contents", "List photos that could not be embedded."),
    "delete": (f"{_HERE}.contents", "Remove photos or products."),
    "sweep": (f"{_HERE}.sweep", "Remove uploads that nothing needs."),
    "verify": (f"{_HERE}.upkeep", "Check everything that is stored."),
    "compact": (f"{_HERE}.upkeep", "Build indexes and give back space."),
    "recall": (f"{_HERE}.upkeep", "Compare the usual search with the exact one."),
    "migrate": (f"{_HERE}.migrate", "Embed all photos with another model, and switch to it."),
    "backup": (f"{_HERE}.moving", "Write a backup while the catalogue is in use."),
    "restore": (f"{_HERE}.moving", "Make a catalogue of a backup."),
    "export": (f"{_HERE}.moving", "Write all photos and vectors to a Parquet file."),
    "import": (f"{_HERE}.moving", "Put in the photos of a Parquet file."),
    "copy": (f"{_HERE}.moving", "Copy a catalogue into an empty one, and compare them."),
}


@click.group(cls=LazyGroup, subcommands=_COMMANDS)
def catalog() -> None:
    """Look after a catalogue of photos, and move it.

    URI is a folder, or milvus://host:port/name for a collection on a Milvus server. `shoplens
    index` puts photos in, and `shoplens search` searches them.

    \b
    Example:
      shoplens catalog stats shop/
      shoplens catalog verify shop/
      shoplens catalog backup shop/ backup.sqlite
      shoplens catalog copy shop/ milvus://localhost:19530/shop
    """
