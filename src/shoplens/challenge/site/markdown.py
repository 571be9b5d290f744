"""The organiser's pages: Markdown to HTML, without raw HTML, scripts or anything to be fetched."""

from __future__ import annotations

from dataclasses import dataclass

from markdown_it import MarkdownIt
from markupsafe import Markup

# Raw HTML is shown as text, pictures as links, and links to scripts are refused by the library.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


@dataclass(frozen=True, slots=True)
class Prose:
    """A page of text."""

    title: str
    """Its first heading, where the text begins with one; empty else."""
    html: Markup
    """The rest."""


def read_markdown(text: str) -> Prose:
    """Turn CommonMark with tables into HTML that is safe to show."""
    tokens = _PARSER.parse(text)
    title = ""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = tokens[1].content, tokens[3:]
    # Safe: the parser escapes all it is given.
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Prose(title, Markup(html))
