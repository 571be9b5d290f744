"""What the commands `finetune` and `adapt` share: options, and what they say at the end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shoplens.adaptation.report import METRIC, AdaptationReport
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import workers_option
from shoplens.cli.telling import tell_failures
from shoplens.models import BASE_MODEL, DEFAULT_MODEL
from shoplens.models.devices import CPU

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="MODEL",
        help="The new model's folder. The model that it is made from stays as it is.",
    ),
    click.option(
        "--model",
        metavar="NAME_OR_PATH",
        help="The model to start from: its name (see `shoplens models`), or a folder or zip. By "
        f"default {DEFAULT_MODEL}; for `finetune --network` {BASE_MODEL}.",
    ),
    click.option(
        "--dimension",
        type=click.IntRange(min=2),
        metavar="N",
        help="The length of the new model's vectors. By default that of the model.",
    ),
    click.option(
        "--name", metavar="NAME", help="The name of the new model. By default that of its folder."
    ),
    click.option("--force", is_flag=True, help="Replace the model in the folder."),
    click.option(
        "--device",
        default=CPU,
        metavar="NAME",
        show_default=True,
        help="Where the model runs, as in `shoplens embed`.",
    ),
    workers_option,
    click.option(
        "--cache/--no-cache",
        default=True,
        show_default=True,
        help="Keep what was computed in the cache, and the new model's vectors of the gallery.",
    ),
)


def adaptation_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options that both commands have; they reach the command as `settings`."""

    @functools.wraps(command)
    def collected(
        output: Path,
        model: str | None,
        dimension: int | None,
        name: str | None,
        force: bool,
        device: str,
        workers: int | None,
        cache: bool,
        **others: Any,
    ) -> int | None:
        settings = {
            "output": output,
            "model": model,
            "dimension": dimension,
            "name": name,
            "force": force,
            "device": device,
            "workers": workers,
            "cache": cache,
        }
        return command(settings=settings, **others)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def tell_adapted(report: AdaptationReport, searched: str, json_file: str | None) -> int:
    """Say what an adaptation came to; return the exit code.

    Args:
        report: of the adaptation.
        searched: what the queries are.
        json_file: the value of `--json`.
    """
    tell_failures(report.failures)
    gain, results = report.gain, Results(json_file)
    rows = [
        (label, f"{value.value:.4f}", f"{value.low:.4f} .. {value.high:.4f}")
        for label, value in (("before", gain.before), ("after", gain.after))
    ]
    gains = [("gain", gain)]
    if report.network_gain is not None:
        gains.append(("gain of the network over the head", report.network_gain))
    for label, of in gains:
        difference = of.difference
        interval = f"{difference.low:+.4f} .. {difference.high:+.4f}"
        rows.append((label, f"{difference.value:+.4f}", interval))
    results.table(
        ("model", METRIC, "95 % interval"),
        rows,
        numbers=(METRIC, "95 % interval"),
        title=f"{report.n_queries:,} {searched}, of {report.n_products:,} products that were kept "
        f"out of the fit, among {report.n_gallery:,} gallery photos",
    )
    seconds = ", ".join(f"{name} {spent:.1f} s" for name, spent in report.seconds.items())
    message(f"time: {seconds}")
    if report.network_gain is not None and not report.network_gain.exceeds(0):
        message("the network stays as it is: what tuning it gains is not certain enough")
    if report.kept:
        message(f"wrote {report.output}: use it with --model {report.output}")
    else:
        message(
            "nothing was written: the gain is not certain enough (its 95 % interval is not above "
            f"{report.least_gain:g}). Stay with {report.model}"
        )
    write_json(json_file, report.to_json())
    return 0 if report.kept else 1
