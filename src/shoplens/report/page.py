"""Templates to pages: everything escaped, and a name that is missing in one is an error."""

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
    """Return the templates that a loader finds, with what all pages keep to."""
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
