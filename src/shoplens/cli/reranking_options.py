"""The options that re-rank, and what commands say of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from shoplens.cli.console import message, progress_display
from shoplens.cli.ranking_options import RankingOptions
from shoplens.datasets.dataset import read_dataset
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import ChainError, RankingError
from shoplens.models import Encoder
from shoplens.pipeline import RankedDataset
from shoplens.reranking import (
    AUTO,
    NO_STEPS,
    NONE,
    Chain,
    Cost,
    Ranked,
    online_chain,
    parse_chain,
)
from shoplens.vectors.embeddings import Embeddings, check_same_model

Command = Callable[..., int | None]

_SECONDS = 60.0
"""How long `auto` tries chains, unless it is said."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """What is asked for."""

    chain: Chain | None
    """None for the one that is chosen."""
    data: str | None
    """A labelled test set to choose it on; None for queries made of the gallery."""
    seconds: float
    batch_side: bool
    """Whether a chain is chosen among batch-side methods too."""
    named: bool
    """Whether the command was given --rerank. A catalogue may keep a chain for those that were
    not."""

    @property
    def asked(self) -> bool:
        """Whether there is anything to do."""
        return self.chain is None or bool(self.chain.steps)


def _chain(_context: click.Context, _parameter: click.Parameter, text: str) -> Chain | None:
    return None if text.strip() == AUTO else parse_chain(text)


def _rerank_option(shown_default: bool | str, explained: str) -> Callable[[Command], Command]:
    return click.option(
        "--rerank",
        "chain",
        default=NONE,
        metavar="none|auto|CHAIN",
        show_default=shown_default,
        callback=_chain,
        help=explained,
    )


_RERANK = (
    "Put the results in a better order, by one method or several in a row, as in alpha-qe:k=4 or "
    "dba+aqe:k=2 (docs/reranking.md lists the methods). auto chooses the chain."
)
_KEEP = (
    "Have every search of the catalogue re-ranked by this chain of methods, such as alpha-qe:k=4, "
    "unless it names another (docs/reranking.md). The catalogue keeps the chain. auto chooses one "
    "when the photos are in."
)
_AUTOMATIC = (
    click.option(
        "--rerank-data",
        metavar="DATASET",
        help="With --rerank auto: a test set of yours with product_id to choose the chain on. By "
        "default it is chosen on queries made of gallery photos.",
    ),
    click.option(
        "--rerank-seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="With --rerank auto: how long chains are tried, 60 by default.",
    ),
)
_BATCH_SIDE = click.option(
    "--batch-side",
    is_flag=True,
    help="With --rerank auto: also try methods that use the other queries of the run, which only "
    "challenges allow.",
)


def _online_chain(_context: click.Context, _parameter: click.Parameter, text: str) -> Chain:
    try:
        return online_chain(text)
    except ChainError:
        raise
    except RankingError as error:
        raise click.BadParameter(str(error)) from None


rerank_chain_option = click.option(
    "--rerank",
    "chain",
    default=NONE,
    metavar="none|CHAIN",
    show_default=True,
    callback=_online_chain,
    help="For searches that are re-ranked by this chain of gallery-side methods "
    "(docs/reranking.md).",
)
"""Of commands that need the chain that searches use, and choose none."""


def rerank_options(command: Command) -> Command:
    """Add the options of commands that rank many queries; they reach them as `reranking`."""
    return _with_options(_BATCH_SIDE(command), _rerank_option(True, _RERANK))


def online_rerank_options(command: Command) -> Command:
    """Add the options of searches, where batch-side methods cannot be used."""
    return _with_options(command, _rerank_option("none, or what the catalogue keeps", _RERANK))


def kept_rerank_options(command: Command) -> Command:
    """Add the options of commands that have a catalogue keep a chain."""
    return _with_options(command, _rerank_option("what the catalogue keeps", _KEEP))


def _with_options(command: Command, rerank: Callable[[Command], Command]) -> Command:
    @functools.wraps(command)
    def collected(
        chain: Chain | None,
        rerank_data: str | None,
        rerank_seconds: float | None,
        batch_side: bool = False,
        **others: Any,
    ) -> int | None:
        if chain is not None and (
            batch_side or rerank_data is not None or rerank_seconds is not None
        ):
            raise click.UsageError(
                "--rerank-data, --rerank-seconds and --batch-side need --rerank auto"
            )
        seconds = _SECONDS if rerank_seconds is None else rerank_seconds
        source = click.get_current_context().get_parameter_source("chain")
        named = source is not ParameterSource.DEFAULT
        reranking = Reranking(chain, rerank_data, seconds, batch_side, named)
        return command(reranking=reranking, **others)

    with_options: Command = collected
    for option in reversed((rerank, *_AUTOMATIC)):
        with_options = option(with_options)
    return with_options


def rerank_dataset(
    result: RankedDataset, reranking: Reranking, options: RankingOptions
) -> tuple[RankedDataset, dict[str, Any]]:
    """Re-rank a dataset's ranking, and say before what it takes.

    Args:
        result: the ranking with its vectors.
        reranking: what is asked for.
        options: how the dataset was ranked.

    Returns:
        The result, and what the choice of a chain adds to the command's JSON.
    """
    settings = options.embedding
    load = None if options.own_vectors else settings.load_encoder
    chain, told = chosen_chain(reranking, result.gallery, load, settings)
    if not chain.steps:
        return result, told
    ranked = Ranked(result.ranking, result.queries, result.gallery)
    tell_costs(chain, chain.costs(ranked))
    with progress_display() as progress:
        return replace(result, ranking=chain.rerank(ranked, progress=progress).ranking), told


def tell_costs(chain: Chain, costs: Sequence[Cost]) -> None:
    """Say what each step of a chain is expected to take."""
    for step, cost in zip(chain.steps, costs, strict=True):
        side = "batch-side: uses the other queries" if step.batch_side else "gallery-side"
        message(f"re-ranking by {step} ({side}): {cost}")


def chosen_chain(
    reranking: Reranking,
    gallery: Embeddings,
    load: Callable[[], Encoder] | None,
    settings: EmbeddingSettings,
) -> tuple[Chain, dict[str, Any]]:
    """Return the chain that is asked for, or choose one and say by what.

    Args:
        reranking: what is asked for.
        gallery: the vectors that are searched.
        load: loads their model; None for vectors of unknown origin.
        settings: how photos are embedded.

    Returns:
        The chain, and what the choice adds to the command's JSON.
    """
    if not reranking.asked:
        return NO_STEPS, {}
    if reranking.chain is not None:
        return reranking.chain, {}
    from shoplens.choosing import chains, choose, pairs_of  # noqa: PLC0415  Only `auto` needs it.

    with progress_display() as progress:
        if reranking.data is not None:
            data = read_dataset(reranking.data)
            encoder = settings.load_encoder()
            queries = settings.embed(data.queries, encoder, progress)
            searched = settings.embed(data.gallery, encoder, progress)
            check_same_model(queries, gallery)
            of = f"the {len(queries):,} queries of {Path(reranking.data).name}"
        else:
            queries, searched = pairs_of(gallery, load and load(), progress=progress)
            of = f"{len(queries):,} queries made of gallery photos (easier than real ones)"
        with_products = gallery.photos is not None and any(
            photo.product_id is not None for photo in gallery.photos
        )
        choice = choose(
            queries,
            searched,
            chains(with_products=with_products, batch_side=reranking.batch_side),
            seconds=reranking.seconds,
            progress=progress,
        )
    gain = choice.gain
    message(
        f"--rerank {choice.chain}: chosen on {of}, gain {gain.value:+.3f} ({gain.low:+.3f} .. "
        f"{gain.high:+.3f}) mAP@1000 on products kept out of the choice; {len(choice.trials)} "
        f"chains tried in {choice.seconds:.0f} s"
        + (f", {choice.n_left_out} left out for lack of time" if choice.n_left_out else "")
    )
    return choice.chain, {"rerank": choice.to_json()}
