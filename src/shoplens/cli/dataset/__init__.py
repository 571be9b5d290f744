"""`shoplens dataset`: tools for people who make test sets."""

from __future__ import annotations

import click

from shoplens.cli.lazy import LazyGroup

_HERE = "shoplens.cli.dataset"
_COMMANDS = {
    "make": (f"{_HERE}.make", "Make a test set of photos that are tagged user or seller."),
    "convert": (f"{_HERE}.convert", "Write a published dataset as a test set."),
    "clean": (f"{_HERE}.clean", "Write a copy of a dataset without certain faults."),
    "statistics": (f"{_HERE}.statistics", "Show counts, sizes, boxes, light and more."),
    "leaks": (f"{_HERE}.leaks", "Find what a training set and a test set share."),
    "anonymise": (f"{_HERE}.anonymise", "Write a test set without labels, for participants."),
    "restore": (
        f"{_HERE}.anonymise",
        "Turn an answer to an anonymised set into one to the original.",
    ),
}


@click.group(cls=LazyGroup, subcommands=_COMMANDS)
def dataset() -> None:
    """Make, convert, clean, inspect and anonymise test sets, and find leaks.

    \b
    Example:
      shoplens dataset make photos/ testset/
      shoplens dataset convert auto Stanford_Online_Products/ products/
      shoplens dataset statistics testset/ -o statistics.html
      shoplens dataset clean copies testset/ cleaned/
      shoplens dataset leaks train.csv testset/
      shoplens dataset anonymise testset/ handout/ --key key.json
    """
