"""Pages to look at: queries with their boxes and what was found, in one self-contained file."""

from shoplens.report.results import Result, Shown, show_ranking, write_page

__all__ = ["Result", "Shown", "show_ranking", "write_page"]
