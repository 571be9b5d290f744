"""The site's HTML pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import PackageLoader

from shoplens.challenge.leaderboard import Board, Entry, Standing, estimate_all
from shoplens.challenge.registry.instants import for_people
from shoplens.challenge.site import wording
from shoplens.challenge.site.history import NAMED, draw_history
from shoplens.challenge.site.markdown import read_markdown
from shoplens.challenge.site.published_run import published
from shoplens.report.page import page_templates

_PROSE = {
    "rules": "Rules",
    "dates": "Dates",
    "prizes": "Prizes",
    "faq": "Questions",
    "contact": "Contact",
}
"""The organiser's pages, in the order of the menu."""

_PLOT_SIZES = ((1000, 380), (396, 340))
"""Width and height of the history plot on a wide and on a narrow screen."""

_N_BINS = 10


@dataclass(frozen=True, slots=True)
class _Axis:
    """The scale that the intervals of a table share: that of the upper half of the teams.

    Far below them there usually is a baseline, for which nobody else's differences should shrink.
    """

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value is, in per cent of the width; less than 0 left of the scale."""
        return 100 * (value - self.low) / (self.high - self.low)


class Pages:
    """Renders the pages of one state of a challenge."""

    def __init__(
        self,
        public: Board,
        ranking: Sequence[Standing],
        final: Board | None,
        final_ranking: Sequence[Standing] | None,
    ) -> None:
        """Take the public side and, once it is unsealed, the private one."""
        self._public = public
        self._ranking = ranking
        self._final = final
        self._final_ranking = final_ranking or ()
        self._standing = {s.entry.submission_id: s for s in ranking}
        self._selected = {e.submission_id for e in (final.entries if final else ()) if e.selected}
        self._final_standing = {s.entry.submission_id: s for s in self._final_ranking}
        self._estimates = estimate_all(public)
        self._final_estimates = estimate_all(final) if final else {}
        self._environment = page_templates(PackageLoader("shoplens.challenge.site"))
        self._environment.filters |= {
            "date": for_people,
            "duration": wording.duration,
            "memory": wording.memory,
            "rank_mark": wording.rank_mark,
            "shift": wording.shift_words,
            "span": wording.span_words,
            "verdict": wording.verdict_words,
        }

    @property
    def prose_names(self) -> list[str]:
        """The organiser's pages that are there."""
        return [name for name in _PROSE if self._public.pages.get(name, "").strip()]

    def index(self) -> str:
        """Return the front page: the final ranking once it is unsealed, the public one before."""
        if self._final is None:
            return self._ranking_page("index.html", self._public, self._ranking)
        return self._ranking_page("index.html", self._final, self._final_ranking)

    def public(self) -> str:
        """Return the public ranking as a page of its own, for when the final one has the front."""
        return self._ranking_page("public.html", self._public, self._ranking)

    def submissions(self) -> str:
        """Return the list of all submissions, newest first."""
        entries = sorted(
            self._public.entries, key=lambda e: (e.submitted, e.submission_id), reverse=True
        )
        rows = [
            (e, self._estimates.get(e.submission_id), self._final_estimates.get(e.submission_id))
            for e in entries
        ]
        return self._render("submissions", "submissions.html", rows=rows, selected=self._selected)

    def submission(self, entry: Entry, *, has_report: bool) -> str:
        """Return a submission's page."""
        others = [e for e in self._public.entries if e.team == entry.team and e is not entry]
        number = entry.submission_id
        return self._render(
            "submission",
            "",
            entry=entry,
            record=published(entry.record),
            public_estimate=self._estimates.get(number),
            final_estimate=self._final_estimates.get(number),
            standing=self._standing.get(number),
            final_standing=self._final_standing.get(number),
            selected=self._selected,
            histogram=None if entry.precision is None else _histogram(entry.precision),
            others=[(other, self._estimates.get(other.submission_id)) for other in others],
            has_report=has_report,
        )

    def teams(self) -> str:
        """Return the page of teams, of the data they declared, and of those who look for mates.

        Teams stand in the order of the ranking, those without a score after them.
        """
        of_team = {s.entry.team: s for s in self._final_ranking or self._ranking}
        teams = sorted(
            self._public.teams,
            key=lambda team: of_team[team.name].place if team.name in of_team else len(of_team) + 1,
        )
        return self._render("teams", "teams.html", teams=teams, standing_of=of_team)

    def prose(self, name: str) -> str:
        """Return one of the organiser's pages."""
        prose = read_markdown(self._public.pages[name])
        title = prose.title or _PROSE[name]
        return self._render("prose", f"{name}.html", title=title, html=prose.html)

    def _ranking_page(self, here: str, board: Board, ranking: Sequence[Standing]) -> str:
        # The history is the public side's, also after the end: it is what all saw at the time.
        until = (self._public.ends if self._final else None) or self._public.as_of
        plots = [
            until and draw_history(self._ranking, until, width, height)
            for width, height in _PLOT_SIZES
        ]
        axis = _axis(ranking)
        return self._render(
            "ranking",
            here,
            board=board,
            ranking=ranking,
            axis=axis,
            any_left=any(axis.at(standing.estimate.value) < 0 for standing in ranking),
            n_in_prizes=sum(standing.rank <= board.places for standing in ranking),
            public_ranking=self._ranking,
            plots=[plot for plot in plots if plot],
            n_named=NAMED,
            stem="public" if board.side == "public" and self._final else "leaderboard",
        )

    def _render(self, template: str, here: str, **values: Any) -> str:
        """Render a template; `here` is the page's own path, empty for those below submissions/."""
        return self._environment.get_template(f"{template}.html.j2").render(
            challenge=self._public,
            is_final=self._final is not None,
            here=here,
            root="" if here else "../",
            menu=self._menu(),
            **values,
        )

    def _menu(self) -> Mapping[str, str]:
        menu = {"index.html": "Ranking"}
        if self._final is not None:
            menu = {"index.html": "Final ranking", "public.html": "Public ranking"}
        menu |= {"submissions.html": "Submissions", "teams.html": "Teams"}
        return menu | {f"{name}.html": _PROSE[name] for name in self.prose_names}


def _axis(ranking: Sequence[Standing]) -> _Axis:
    upper = ranking[: max(5, (len(ranking) + 1) // 2)]
    low = min((s.estimate.low for s in upper), default=0.0)
    high = max((s.estimate.high for s in ranking), default=1.0)
    room = 0.02 * (high - low) or 0.01
    return _Axis(max(low - room, 0.0), min(high + room, 1.0))


def _histogram(precision: npt.NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """Return from, to and the share of queries of ten equal classes of AP."""
    counted = precision[~np.isnan(precision)]
    counts, edges = np.histogram(counted, bins=_N_BINS, range=(0, 1))
    shares = counts / max(len(counted), 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), shares.tolist(), strict=True))
