"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import click

from shoplens.files import require_folder
from shoplens.models import DEFAULT_MODEL
from shoplens.tables import COLUMNS, ROW_NUMBER


def writable(
    _context: click.Context, _parameter: click.Parameter, value: str | Path | None
) -> str | Path | None:
    """Refuse an output file whose folder is not there before the work for it begins."""
    if value is not None and value != "-":
        require_folder(value)
    return value


def distinct(*files: str | Path | None) -> None:
    """Refuse two outputs in one file: the second would replace the first."""
    named = [Path(file).absolute() for file in files if file is not None and str(file) != "-"]
    if len(set(named)) < len(named):
        raise click.UsageError(f"{named[0]} is named for two outputs")


json_option = click.option(
    "--json",
    "json_file",
    metavar="FILE",
    callback=writable,
    help="Write the result as JSON to FILE; - is standard output (then nothing else goes there).",
)

model_option = click.option(
    "--model",
    default=DEFAULT_MODEL,
    metavar="NAME_OR_PATH",
    show_default=True,
    help="A built-in model (see `shoplens models`), or a folder or zip with model.onnx and "
    "recipe.json.",
)

dimension_option = click.option(
    "--dimension",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use the leading N components of vectors, where the model was trained for it (see "
    "`shoplens models`).",
)

boxes_option = click.option(
    "--boxes",
    "box_frame",
    type=click.Choice(["upright", "stored"]),
    default="upright",
    show_default=True,
    help="What box pixels count: the photo after its EXIF turn, or as stored in the file.",
)

columns_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    callback=lambda c, p, v: _pairs(v),
    help="A table's own name for a column, as in img_path=file; repeatable. For ids, "
    "OURS=@row numbers the rows from 0.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that work side by side; by default one for each usable core.",
)

gallery_vectors_option = click.option(
    "--gallery-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the gallery's vectors from a .parquet or .npy file instead of embedding.",
)

query_vectors_option = click.option(
    "--query-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the queries' vectors from a .parquet or .npy file instead of embedding.",
)


def _pairs(values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        ours, separator, theirs = value.partition("=")
        if not separator or not theirs:
            raise click.BadParameter(f"{value!r} is not OURS=THEIRS, as in img_path=file")
        if ours not in COLUMNS:
            close = difflib.get_close_matches(ours, COLUMNS, n=1) or [", ".join(COLUMNS)]
            raise click.BadParameter(f"{ours!r} is no column of the format; meant is {close[0]}?")
        if theirs == ROW_NUMBER and not ours.endswith("_img_id"):
            raise click.BadParameter(f"{value!r}: only ids can be row numbers")
        pairs[ours] = theirs
    return pairs
