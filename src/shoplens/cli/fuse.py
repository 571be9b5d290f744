"""`shoplens fuse`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import message, write_json
from shoplens.cli.options import distinct, json_option, output_option
from shoplens.ranking import Ranking
from shoplens.reranking.fusion import Fusion
from shoplens.reranking.fusion import fuse as fuse_rankings


@click.command()
@click.argument(
    "rankings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RANKING..."
)
@output_option("ranks.npy for the ids alone, or ranks.npz with scores.", ".npy", ".npz")
@click.option(
    "--weight",
    "weights",
    multiple=True,
    type=click.FloatRange(0, min_open=True),
    metavar="W",
    help="The weight of a ranking: once for each, in their order. By default all weigh the same.",
)
@click.option(
    "--by",
    type=click.Choice(["scores", "ranks"]),
    default="scores",
    show_default=True,
    help="What is added up: scores, each row scaled to 0..1, or 1 / (60 + rank).",
)
@json_option
def fuse(
    rankings: tuple[Path, ...],
    output: Path,
    weights: tuple[float, ...],
    by: Fusion,
    json_file: str | None,
) -> None:
    """Combine rankings of several models, or of several chains, into one.

    RANKING is an .npz that `shoplens rank` wrote. All must be of the same queries and of one
    gallery.

    \b
    Example:
      shoplens rank examples/furniture -o a.npz
      shoplens rank examples/furniture -o b.npz --model lite0-products
      shoplens fuse a.npz b.npz -o both.npz
    """
    distinct(output, json_file)
    if len(rankings) < 2:
        raise click.UsageError("name two rankings or more")
    if weights and len(weights) != len(rankings):
        raise click.UsageError(
            f"--weight is given {len(weights)} times for {len(rankings)} rankings; give it once "
            "for each, or not at all"
        )
    found = fuse_rankings([Ranking.load(one) for one in rankings], weights=weights or None, by=by)
    found.save(output)
    side = "batch-side" if found.batch_side else "gallery-side"
    message(f"wrote {output}: {found.ids.shape[0]:,} x {found.ids.shape[1]:,} ids, {side}")
    write_json(
        json_file,
        {
            "output": str(output),
            "shape": list(found.ids.shape),
            "model": {"name": found.model_name, "fingerprint": found.fingerprint},
            "chain": list(found.chain),
            "batch_side": found.batch_side,
        },
    )
