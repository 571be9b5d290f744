"""Rendering pages from templates. Everything is escaped, and a missing name is an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from shoplens.report.counts import counted


def render(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: a `.j2` file of this package.
        values: by their names in the template; texts are escaped unless they are `Markup`.
    """
    return _templates().get_template(template).render(values)


def page_templates(loader: BaseLoader) -> Environment:
    """Return an environment for a loader's templates, with the settings that all pages share."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    return environment


@cache
def _templates() -> Environment:
    return page_templates(PackageLoader("shoplens.report", "."))
