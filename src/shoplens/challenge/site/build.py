"""From the boards of a challenge to the folder of its site."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoplens.challenge.leaderboard import Board, Standing, standings
from shoplens.challenge.site.board_files import board_json, standings_csv
from shoplens.challenge.site.feed import FILE_NAME as FEED
from shoplens.challenge.site.feed import atom_feed
from shoplens.challenge.site.pages import Pages
from shoplens.challenge.site.site_folder import write_site
from shoplens.errors import ShoplensError
from shoplens.progress import Progress, silent

REPORT = "report.html"
"""The name of a report in a run's folder."""


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """The result of a build."""

    folder: Path
    n_files: int
    n_written: int
    """Files that are new or changed."""
    n_reports: int
    """Reports of runs among them."""


def build_site(
    folder: str | Path,
    public: Board,
    private: Board | None = None,
    *,
    challenge: Path | None = None,
    url: str | None = None,
    reports: bool = False,
    progress: Progress = silent,
) -> SiteFiles:
    """Write the site of a challenge, or bring it up to date.

    The files depend only on the arguments: a second build of the same boards writes nothing. No
    file has anything private in it while the private board is sealed.

    Args:
        folder: of the site; made where it is not there.
        public: the public side.
        private: the private side; sealed or None, the site is that of a running challenge.
        challenge: the challenge's folder, which the site is kept apart from.
        url: the site's address, for the feed, which readers fetch on its own.
        reports: take in each run's `report.html`, where it has one. It shows photos and products
            of both sides, so before the end this is refused.
        progress: called with the number of pages written.

    Raises:
        ShoplensError: reports were asked for before the end, the folder holds files of others, or
            it is the challenge's folder, lies in that or holds it.
        MissingError: the folder's parent is not there.
    """
    final = None if private is None or private.sealed else private
    if reports and final is None:
        raise ShoplensError(
            "reports also show the private side: they can be published only after the end"
        )
    if challenge is not None:
        _keep_apart(Path(folder), challenge)
    address = None if url is None else url.rstrip("/") + "/"
    ranking = standings(public)
    final_ranking = None if final is None else standings(final, ranking)
    pages = Pages(public, ranking, final, final_ranking)
    files: dict[str, str | bytes] = {}
    for done, entry in enumerate(public.entries, start=1):
        report = f"submissions/{entry.submission_id}-report.html"
        if reports and entry.run is not None and (entry.run / REPORT).is_file():
            files[report] = (entry.run / REPORT).read_bytes()
        page = pages.submission(entry, has_report=report in files)
        files[f"submissions/{entry.submission_id}.html"] = page
        progress("pages", done, len(public.entries))
    n_reports = len(files) - len(public.entries)
    for name in pages.prose_names:
        files[f"{name}.html"] = pages.prose(name)
    if final is not None and final_ranking is not None:
        files |= _exports("leaderboard", final, final_ranking)
        files |= _exports("public", public, ranking)
        files["public.html"] = pages.public()
    else:
        files |= _exports("leaderboard", public, ranking)
    files[FEED] = atom_feed(public, ranking, address)
    files["submissions.html"] = pages.submissions()
    files["teams.html"] = pages.teams()
    files["index.html"] = pages.index()
    contents = {
        name: text if isinstance(text, bytes) else text.encode(errors="backslashreplace")
        for name, text in files.items()
    }
    written = write_site(Path(folder), contents)
    return SiteFiles(Path(folder), len(contents), written, n_reports)


def _keep_apart(folder: Path, challenge: Path) -> None:
    """Refuse to write the site where private scores are: they would be published with it."""
    site, private = folder.resolve(), challenge.resolve()
    if site.is_relative_to(private):
        where = "is" if site == private else "is in"
    elif private.is_relative_to(site):
        where = "holds"
    else:
        return
    raise ShoplensError(
        f"{folder} {where} the challenge's folder, where private scores are: choose a folder "
        "beside it for the site"
    )


def _exports(stem: str, board: Board, ranking: Sequence[Standing]) -> dict[str, str]:
    values = board_json(board, ranking)
    return {
        f"{stem}.json": json.dumps(values, indent=2, allow_nan=False) + "\n",
        f"{stem}.csv": standings_csv(ranking),
    }
