"""Options that say how a search lists what it found, and how sure it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shoplens.confidence import Calibration
from shoplens.errors import RankingError
from shoplens.products.duplicates import SAME_PICTURE
from shoplens.products.scores import PRODUCT_SCORES, ProductScore
from shoplens.products.variants import Variants
from shoplens.search_options import SearchOptions


def _product_score(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> str | None:
    if text is not None:
        _checked(ProductScore.parse, text)
    return text


def _variants(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None:
        _checked(Variants.parse, text)
    return text


def _checked(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except RankingError as error:
        raise click.BadParameter(str(error)) from None


product_score_option = click.option(
    "--product-score",
    metavar="|".join(PRODUCT_SCORES),
    callback=_product_score,
    help="Order products by the score of their best photo, the mean of their best two or three, or "
    "the log-sum of all; logsum:0.05 names its temperature (docs/product-scores.md).",
)

_OPTIONS = (
    click.option(
        "--group-by",
        type=click.Choice(["product"]),
        help="Return products, each with its best photo, instead of photos.",
    ),
    product_score_option,
    click.option(
        "--variants",
        metavar="NAME|id:SEPARATOR",
        callback=_variants,
        help="Return variants of one product as one hit: products with the same value of this "
        "attribute; or, with id:-, those whose ids are the same before the last -.",
    ),
    click.option(
        "--collapse",
        is_flag=True,
        help="Return photos that show the same picture, or nearly, as one hit.",
    ),
    click.option(
        "--collapse-at",
        type=click.FloatRange(0, 1, min_open=True),
        metavar="SIMILARITY",
        help="The same, for photos whose vectors are at least this similar; --collapse takes "
        f"{SAME_PICTURE}, which suits the built-in models.",
    ),
    click.option(
        "--confidence",
        "confidence_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Say how likely it is that each hit is the same product, and that any is. FILE is "
        "what `shoplens calibrate` wrote for the model.",
    ),
)


def listing_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options; they reach the command as `options`."""

    @functools.wraps(command)
    def collected(
        group_by: str | None,
        product_score: str | None,
        variants: str | None,
        collapse: bool,
        collapse_at: float | None,
        confidence_file: Path | None,
        **others: Any,
    ) -> int | None:
        if group_by is None and (product_score or variants):
            name = "--product-score" if product_score else "--variants"
            raise click.UsageError(f"{name} needs --group-by product")
        confidence = None if confidence_file is None else Calibration.load(confidence_file)
        options = SearchOptions(
            group_by=group_by,
            product_score=product_score,
            variants=variants,
            collapse=collapse if collapse_at is None else collapse_at,
            confidence=confidence,
        )
        return command(options=options, **others)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected
