"""The group of all commands: where each is, and what the help says of it."""

from __future__ import annotations

import click

from shoplens._version import __version__
from shoplens.cli.lazy import LazyGroup

_COMMANDS = {
    "demo": ("shoplens.cli.demo", "Search and score sample photos, and write a page of results."),
    "check": ("shoplens.cli.check", "List everything that is wrong with a dataset."),
    "search": ("shoplens.cli.search", "Find the product of a photo in a gallery or a catalogue."),
    "index": ("shoplens.cli.index", "Bring photos into a catalogue, and keep it up to date."),
    "embed": ("shoplens.cli.embed", "Compute the vectors of photos, and save them in a file."),
    "rank": ("shoplens.cli.rank", "Rank a dataset's gallery for each of its queries."),
    "fuse": ("shoplens.cli.fuse", "Combine rankings of several models into one."),
    "evaluate": ("shoplens.cli.evaluate", "Score a ranking with mAP@1000 and other metrics."),
    "calibrate": ("shoplens.cli.calibrate", "Learn how likely a score means the same product."),
    "report": ("shoplens.cli.report", "Write a page about a run."),
    "compare": ("shoplens.cli.compare", "Test whether runs differ."),
    "models": ("shoplens.cli.models", "List models, and convert those of other libraries."),
    "catalog": ("shoplens.cli.catalog", "Look after a catalogue of photos, and move it."),
    "serve": ("shoplens.cli.serve", "Serve a catalogue: search over HTTP, and a page for it."),
    "keys": ("shoplens.cli.keys", "Make and revoke the API keys of a server."),
    "cache": ("shoplens.cli.cache", "Show or clear the cache of vectors and models."),
    "train": ("shoplens.cli.train", "Train a model."),
    "export": ("shoplens.cli.export", "Make a model folder of a trained model."),
    "adapt": ("shoplens.cli.adapt", "Fit a model to your shop without labels."),
    "finetune": ("shoplens.cli.finetune", "Fit a model to labelled photos of your shop."),
    "dataset": ("shoplens.cli.dataset", "Make, convert, clean and anonymise test sets."),
    "challenge": ("shoplens.cli.challenge", "Take part in a challenge, or run one."),
}


@click.group(
    cls=LazyGroup,
    subcommands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="shoplens")
def shoplens() -> None:
    """Find a product by its photo: draw a box on a photo, search a catalogue for the product.

    \b
    First steps:
      shoplens demo                        search the sample photos and write a page
      shoplens check DATASET               look for faults in a dataset
      shoplens evaluate DATASET            embed, rank and score a dataset
      shoplens search PHOTO --box 120,40,300,200 --gallery FOLDER

    \b
    Exit codes:
      0    done
      1    the work found faults, or failed
      2    wrong usage
      3    a file or an extra that is needed is missing
      130  interrupted
    """
