"""The challenge's pages: Markdown files that the organiser edits."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import jinja2

from shoplens.challenge.registry.instants import for_people
from shoplens.challenge.registry.terms import Round, Terms
from shoplens.errors import DataError, MissingError
from shoplens.files import read_text, write_text
from shoplens.ranking import DEPTH

PAGES = ("rules", "dates", "prizes", "faq", "contact")
"""The pages of a challenge; each is the file of that name with `.md`."""

LONGEST_PAGE = 1_000_000
"""Bytes of a page: more is no page but a mistake."""


def check_pages(folder: Path) -> None:
    """Look the pages through that an organiser brings.

    Raises:
        MissingError: there is no such folder.
        DataError: it holds none of the pages, or one is not UTF-8 or far too long.
    """
    if not folder.is_dir():
        raise MissingError(f"no folder of pages at {folder}")
    if not read_pages(folder):
        names = ", ".join(f"{name}.md" for name in PAGES)
        raise DataError(f"{folder} holds none of the pages: {names}")


def write_pages(folder: Path, terms: Terms, brought: Path | None = None) -> None:
    """Fill the folder of pages: those brought by the organiser, and a start for the others.

    A page that is there already stays as it is.
    """
    folder.mkdir(exist_ok=True)
    given = read_pages(brought) if brought is not None else {}
    for name in PAGES:
        file = folder / f"{name}.md"
        if not file.exists():
            write_text(file, given.get(name) or _template(name, terms))


def read_pages(folder: Path) -> Mapping[str, str]:
    """Return the pages that are there by name, in the order of `PAGES`.

    Raises `DataError` when one is not UTF-8, or far too long.
    """
    pages = {}
    for name in PAGES:
        file = folder / f"{name}.md"
        if file.is_file():
            if file.stat().st_size > LONGEST_PAGE:
                raise DataError(f"{file} is longer than {LONGEST_PAGE:,} bytes")
            pages[name] = read_text(file)
    return pages


def _template(name: str, terms: Terms) -> str:
    # Markdown, not HTML: whoever shows it escapes it.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=False)
    file = resources.files("shoplens.challenge.registry") / "templates" / f"{name}.md.j2"
    page = environment.from_string(file.read_text(encoding="utf-8"))
    return (
        page.render(
            title=terms.title,
            n_queries=f"{terms.n_queries:,}",
            n_gallery=f"{terms.n_gallery:,}",
            rounds=[
                {
                    "name": one.name,
                    "starts": for_people(one.starts),
                    "ends": for_people(one.ends),
                    "per_day": one.per_day,
                    "budget": _budget(one),
                }
                for one in terms.rounds
            ],
            policy=terms.policy,
            depth=f"{min(DEPTH, terms.n_gallery):,}",
            share=f"{terms.public_share:.0%}",
            selections=terms.selections,
            starts=for_people(terms.starts),
            ends=for_people(terms.ends),
            data_deadline=for_people(terms.data_deadline),
            places=terms.places,
        ).strip()
        + "\n"
    )


def _budget(one: Round) -> str:
    """Say a round's limits in words."""
    limits = one.limits
    cores = "all processor cores" if limits.cpus is None else f"{limits.cpus} processor cores"
    memory = "" if limits.memory_mb is None else f", {limits.memory_mb:,} MB of memory"
    return f"{limits.seconds:g} s on {cores}{memory}"
