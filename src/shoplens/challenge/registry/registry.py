"""The folder of a challenge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shoplens.challenge.leaderboard import Board, Side
from shoplens.challenge.registry.boards import build_board
from shoplens.challenge.registry.database import FILE_NAME, Database
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.terms import Terms, read_terms


@dataclass(frozen=True, slots=True)
class Registry:
    """A challenge: its folder with the file of records, pages, submissions and runs.

    A plain value: nothing is held open, so threads and processes may share it.
    """

    folder: Path

    @property
    def database(self) -> Database:
        """The file of records."""
        return Database(self.folder / FILE_NAME)

    @property
    def pages(self) -> Path:
        """The folder of the pages, Markdown for the organiser to edit."""
        return self.folder / "pages"

    @property
    def submissions(self) -> Path:
        """The folder of the copies of submissions, each named by the hash of what is in it."""
        return self.folder / "submissions"

    @property
    def runs(self) -> Path:
        """The folder of what runs left behind, a folder each."""
        return self.folder / "runs"

    @property
    def environments(self) -> Path:
        """The folder of the environments that submissions' requirements are installed in."""
        return self.folder / "environments"

    def terms(self) -> Terms:
        """Return the terms as they are now.

        Raises:
            MissingError: the folder holds no challenge.
            DataError: its file is none of ours, or of another version.
        """
        with self.database.reading() as connection:
            return read_terms(connection)

    def board(self, side: Side, now: datetime | None = None, *, round: str | None = None) -> Board:
        """Return a round's submissions as one side of the split scored them.

        Before the challenge is over the private side is sealed: its board has no entries.

        Args:
            side: `public` or `private`.
            now: the time to look at it; None takes the clock.
            round: its name; None takes the round that is on or was last.

        Raises:
            DataError: no such round.
        """
        moment = current() if now is None else now
        return build_board(self.database, self.pages, self.runs, side, moment, round)
