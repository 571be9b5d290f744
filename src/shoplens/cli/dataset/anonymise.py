"""`shoplens dataset anonymise` and `shoplens dataset restore`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from shoplens.answers.answer import check_answer, read_answer
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    distinct,
    json_option,
    workers_option,
    writable,
)
from shoplens.curation.anonymous import anonymise as anonymise_dataset
from shoplens.curation.anonymous import read_key
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import RankingError
from shoplens.records import BoxFrame
from shoplens.report.counts import counted


@click.command()
@click.argument("source", metavar="DATASET")
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT_DIR")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    callback=writable,
    help="The key to write: what every new name and id means. Keep it, and keep it secret.",
)
@click.option(
    "--seed",
    metavar="TEXT",
    help="The secret that names and order depend on; a random one by default. It is saved in the "
    "key.",
)
@boxes_option
@columns_option
@workers_option
@json_option
def anonymise(
    source: str,
    folder: Path,
    key: Path,
    seed: str | None,
    box_frame: BoxFrame,
    columns: dict[str, str],
    workers: int | None,
    json_file: str | None,
) -> None:
    """Write a test set without labels, to hand to participants.

    Photos get random names, and rows get new ids in a random order. Products and all other columns
    are left out. Metadata is cut out of the photos without encoding them again; the EXIF turn and
    the colour profile stay. All files have the same time stamp. OUT_DIR and the key must be new.

    \b
    Example:
      shoplens dataset anonymise testset/ handout/ --key key.json
      shoplens dataset restore answer.npy --key key.json -o ranks.npy
    """
    distinct(key, json_file)
    data = read_dataset(source, columns=columns, box_frame=box_frame)
    with progress_display() as progress:
        made = anonymise_dataset(data, folder, key, seed=seed, workers=workers, progress=progress)
    Results(json_file).line(
        f"{made.folder}: {counted(made.n_gallery, 'gallery photo')} and "
        f"{counted(made.n_queries, 'query')}, {counted(made.n_bytes_removed, 'byte')} of metadata "
        "cut out"
    )
    for kind, count in made.converted.items():
        photos = counted(count, f"{kind} photo")
        message(f"{photos} converted to PNG: metadata cannot be cut out of {kind}")
    message(f"the key is {made.key}; do not hand it out and do not lose it")
    write_json(json_file, made.to_json())


@click.command()
@click.argument("answer", type=click.Path(path_type=Path), metavar="ANSWER")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The key of the anonymised set.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    callback=writable,
    help="The file to write, with the original ids: .npy or .npz.",
)
@json_option
def restore(answer: Path, key: Path, output: Path, json_file: str | None) -> None:
    """Turn an answer to an anonymised set into one to the original set.

    ANSWER is a .npy, .npz or .csv file. It is checked by the rules of the challenge's
    documentation: repeated ids and columns past 1000 are dropped. You can score the result with
    `shoplens evaluate DATASET --ranks FILE`.

    \b
    Example:
      shoplens dataset restore answer.npy --key key.json -o ranks.npy
      shoplens evaluate testset/ --ranks ranks.npy
    """
    distinct(output, json_file)
    secret = read_key(key)
    queries, gallery = (
        np.arange(len(ids), dtype=np.int32) for ids in (secret.queries, secret.gallery)
    )
    checked = check_answer(read_answer(answer), queries, gallery, policy="lenient")
    restored = secret.restore(checked.require())
    for finding in checked.findings:
        message(str(finding))
    if restored.blank is not None and restored.blank.any() and output.suffix != ".npz":
        raise RankingError(f"{answer} has empty places, which only an .npz file can keep")
    restored.save(output)
    message(f"wrote {output}")
    write_json(
        json_file,
        {
            "output": str(output),
            "shape": list(restored.ids.shape),
            "findings": [finding.to_json() for finding in checked.findings],
        },
    )
