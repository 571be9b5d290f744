"""`shoplens dataset`: tools for who makes test sets."""

from __future__ import annotations

import click

from shoplens.cli.dataset.anonymise import anonymise, restore
from shoplens.cli.dataset.leaks import leaks
from shoplens.cli.dataset.make import make
from shoplens.cli.dataset.statistics import statistics

__all__ = ["dataset"]


@click.group()
def dataset() -> None:
    """Make a test set, look at it, find leaks, hand it out without labels.

    \b
    Example:
      shoplens dataset make photos/ testset/
      shoplens dataset statistics testset/ -o statistics.html
      shoplens dataset leaks train.csv testset/
      shoplens dataset anonymise testset/ handout/ --key key.json
    """


for _command in (make, statistics, leaks, anonymise, restore):
    dataset.add_command(_command)
