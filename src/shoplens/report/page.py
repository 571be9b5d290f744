"""Templates to pages: everything escaped, and a name that is missing in one is an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from shoplens.report.words import counted


def render(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: a `.j2` file of this package.
        values: by their names in the template; texts are escaped unless they are `Markup`.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("shoplens.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    return environment
