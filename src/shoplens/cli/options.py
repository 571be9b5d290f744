"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from shoplens.datasets.format import COLUMNS, ROW_NUMBER
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import ModelError
from shoplens.files import require_folder
from shoplens.models import DEFAULT_MODEL
from shoplens.models.devices import CPU

if TYPE_CHECKING:
    from shoplens.catalog.model_stamp import ModelStamp


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
    help="Write the result as JSON to FILE. With - it goes to standard output, "
    "and nothing else does.",
)


def output_option(
    help_text: str, *endings: str
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Return the required option -o for one file, which reaches the command as `output`.

    Args:
        help_text: what the file is.
        endings: those that its name may have; none for any.
    """

    def checked(context: click.Context, parameter: click.Parameter, output: Path) -> Path:
        if endings and output.suffix not in endings:
            raise click.BadParameter(f"{output} must end in {' or '.join(endings)}")
        writable(context, parameter, output)
        return output

    return click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=checked,
        help=help_text,
    )


boxes_option = click.option(
    "--boxes",
    "box_frame",
    type=click.Choice(["upright", "stored"]),
    default="upright",
    show_default=True,
    help="Whether boxes refer to the photo after its EXIF turn or to the pixels as stored.",
)

columns_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    callback=lambda c, p, v: _columns(v),
    help="The name of a column in your table, as in img_path=file; repeatable. For ids, "
    "OURS=@row numbers the rows from 0.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of threads; by default one per usable core.",
)

remote_option = click.option(
    "--remote",
    is_flag=True,
    help="Allow URLs in the table's img_path, and fetch them (extra [remote]).",
)

CATALOG_HELP = (
    "a folder, or milvus://host:port/name for a collection on a Milvus server (extra [milvus])"
)
"""What --catalog takes."""


gallery_vectors_option = click.option(
    "--gallery-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the gallery's vectors from a .parquet or .npy file instead of embedding.",
)

query_vectors_option = click.option(
    "--query-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the queries' vectors from a .parquet or .npy file instead of embedding.",
)


def embedding_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options of commands that embed; they reach the command as `embedding`."""

    @functools.wraps(command)
    def collected(
        model: str,
        dimension: int | None,
        device: str,
        workers: int | None,
        use_cache: bool,
        retry_failed: bool,
        max_failures: tuple[float, bool] | None,
        **others: Any,
    ) -> int | None:
        embedding = EmbeddingSettings(
            model, dimension, device, workers, use_cache, retry_failed, max_failures
        )
        return command(embedding=embedding, **others)

    for option in reversed(_EMBEDDING_OPTIONS):
        collected = option(collected)
    return collected


def model_is_named() -> bool:
    """Whether the running command was given --model."""
    source = click.get_current_context().get_parameter_source("model")
    return source is not ParameterSource.DEFAULT


def settings_for(model: ModelStamp | None, embedding: EmbeddingSettings) -> EmbeddingSettings:
    """Return the settings with a catalogue's model, unless another was named with --model.

    Raises `ModelError` if none was named and the catalogue's is not found by its name.
    """
    if model is None or model_is_named():
        return embedding
    if not model.found_by_name:
        raise ModelError(
            f"the catalogue was made with the model {model.name}, which is not built in: name it "
            "with --model"
        )
    return replace(embedding, model=model.name, dimension=embedding.dimension or model.dimension)


def _failure_limit(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[float, bool] | None:
    if value is None:
        return None
    is_percent = value.endswith("%")
    try:
        number = float(value.removesuffix("%")) if is_percent else int(value)
    except ValueError:
        number = -1
    if not 0 <= number <= (100 if is_percent else float("inf")):
        raise click.BadParameter(f"{value!r} is neither a number of photos (100) nor a share (5%)")
    return number, is_percent


_EMBEDDING_OPTIONS = (
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_PATH",
        show_default=True,
        help="The name of a model (see `shoplens models`), or a folder or zip with model.onnx and "
        "recipe.json.",
    ),
    click.option(
        "--dimension",
        type=click.IntRange(min=1),
        metavar="N",
        help="Use only the first N components of vectors, if the model was trained for it (see "
        "`shoplens models`).",
    ),
    click.option(
        "--device",
        default=CPU,
        metavar="NAME",
        show_default=True,
        help="cpu; openvino or openvino:bf16, about twice as fast on processors that have bfloat16 "
        "(extra [openvino]); cuda, cuda:1, or several GPUs: cuda:0,1 (needs "
        "onnxruntime-gpu instead of onnxruntime).",
    ),
    workers_option,
    click.option(
        "--cache/--no-cache",
        "use_cache",
        default=True,
        show_default=True,
        help="Read vectors from the cache and write new ones to it (see `shoplens cache`).",
    ),
    click.option(
        "--retry-failed",
        is_flag=True,
        help="Try photos again that the cache has marked as unusable.",
    ),
    click.option(
        "--max-failures",
        metavar="N|P%",
        callback=_failure_limit,
        help="Stop if more than N photos, or P % of them, have failed.",
    ),
)


def _columns(values: Sequence[str]) -> dict[str, str]:
    pairs = column_pairs(values, COLUMNS)
    for ours, theirs in pairs.items():
        if theirs == ROW_NUMBER and not ours.endswith("_img_id"):
            raise click.BadParameter(f"'{ours}={theirs}': only ids can be row numbers")
    return pairs


def column_pairs(values: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Read OURS=THEIRS from the command line; OURS must be one of `columns`."""
    pairs = {}
    for value in values:
        ours, separator, theirs = value.partition("=")
        if not separator or not theirs:
            raise click.BadParameter(f"{value!r} is not OURS=THEIRS, as in img_path=file")
        if ours not in columns:
            close = difflib.get_close_matches(ours, columns, n=1) or [", ".join(columns)]
            raise click.BadParameter(
                f"{ours!r} is not a column of the format; did you mean {close[0]}?"
            )
        pairs[ours] = theirs
    return pairs
