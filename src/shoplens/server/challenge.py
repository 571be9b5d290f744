"""What the teams of a challenge hand in over HTTP."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from numpy.lib.format import MAGIC_PREFIX

from shoplens.challenge.registry.archives import unpack_archive
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.intake import Receipt, require_admitted, submit, submit_answer
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import SubmissionRecord, list_submissions
from shoplens.challenge.registry.tokens import team_of_token
from shoplens.errors import ChallengeError, DataError, MissingError, RankingError, ShoplensError
from shoplens.ranking import DEPTH
from shoplens.server.problems import Problem
from shoplens.server.rate_limit import RateLimiter

PER_MINUTE = 30
"""Requests that a team may make."""
_N_THREADS = 4
_N_TAKING = 2
"""Submissions that are taken in at a time: unpacking one may take long."""
_UNPACKED = 4
"""How many times larger than its limit an archive may be unpacked."""
_HEADER_BYTES = 4096
_WIDEST_NUMBER = 8

_T = TypeVar("_T")


class ServedChallenge:
    """A challenge behind HTTP. Its methods block, but for `handing_in`: make them `in_thread`."""

    def __init__(self, folder: Path, max_submission_bytes: int) -> None:
        """Open a challenge.

        Args:
            folder: its folder.
            max_submission_bytes: that the body of a request with a submission may have.

        Raises:
            MissingError: there is none in the folder.
            DataError: its file is damaged, or of another version.
        """
        self.registry = Registry(folder)
        self.registry.terms()
        self._max_unpacked = _UNPACKED * max_submission_bytes
        self._limiter = RateLimiter()
        # None of those that searches need.
        self._threads = ThreadPoolExecutor(_N_THREADS, "challenge")
        self._taking = asyncio.Semaphore(_N_TAKING)
        self._handing_in: set[str] = set()

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Run something that blocks on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def take(self, taken: Callable[[], Receipt]) -> Receipt:
        """Take in a submission on a thread, in turn."""
        async with self._taking:
            return await self.in_thread(taken)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def team(self, token: str | None) -> str:
        """Return the team of a token, and count the request.

        Raises `Problem`: `no_token` or `too_many_requests`.
        """
        team = None if token is None else team_of_token(self.registry.database, token)
        if team is None:
            raise Problem(
                "no_token",
                "Send the token of your team: Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if wait := self._limiter.take(team, PER_MINUTE):
            raise Problem(
                "too_many_requests",
                f"{PER_MINUTE} requests a minute are allowed.",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        return team

    def require_admitted(self, team: str) -> None:
        """Refuse a team that may hand in nothing now, before it has sent anything.

        Raises `Problem` (`challenge_rule`).
        """
        try:
            require_admitted(self.registry, team, now=current())
        except ChallengeError as error:
            raise Problem("challenge_rule", str(error)) from None

    @contextmanager
    def handing_in(self, team: str) -> Iterator[None]:
        """Let a team hand in one submission at a time: each is held here meanwhile. Does not block.

        Raises `Problem` (`too_many_requests`) if it hands in another.
        """
        if team in self._handing_in:
            raise Problem(
                "too_many_requests",
                "Your team hands in another submission now: try again when that is taken.",
                headers={"Retry-After": "1"},
            )
        self._handing_in.add(team)
        try:
            yield
        finally:
            self._handing_in.discard(team)

    def take_answer(
        self, stream: BinaryIO, n_bytes: int, team: str, label: str, tags: list[str]
    ) -> Receipt:
        """Take in an answer array, a `.npy` file of n bytes.

        Raises `Problem`: `bad_answer`, `bad_submission`, `body_too_large` or `challenge_rule`.
        """
        terms = self.registry.terms()
        most = terms.n_queries * min(DEPTH, terms.n_gallery) * _WIDEST_NUMBER + _HEADER_BYTES
        if n_bytes > most:
            raise Problem("body_too_large", f"An answer has at most {most:,} bytes.", limit=most)
        if stream.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
            raise Problem("bad_answer", "The answer is no .npy file, as numpy.save writes it.")
        stream.seek(0)

        def taken(folder: Path) -> Receipt:
            file = folder / "answer.npy"
            with file.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            return submit_answer(
                self.registry, file, team, now=current(), label=label, tags=tags, who=_who(team)
            )

        return _told(taken)

    def take_archive(self, stream: BinaryIO, team: str, label: str, tags: list[str]) -> Receipt:
        """Take in a submission's folder, packed as a zip archive.

        Raises `Problem`: `bad_submission` or `challenge_rule`.
        """

        def taken(folder: Path) -> Receipt:
            root = unpack_archive(stream, folder, max_bytes=self._max_unpacked)
            return submit(
                self.registry, root, team, now=current(), label=label, tags=tags, who=_who(team)
            )

        return _told(taken)

    def submissions(self, team: str, number: int | None = None) -> tuple[SubmissionRecord, ...]:
        """Return the submissions of a team, or one of them.

        Raises `Problem` (`not_found`) if the team has no such submission.
        """
        records = list_submissions(self.registry, current(), team=team)
        found = tuple(one for one in records if number in (None, one.id))
        if number is not None and not found:
            raise Problem("not_found", f"Your team has no submission {number}.")
        return found


def _told(taken: Callable[[Path], Receipt]) -> Receipt:
    """Take something in by way of a folder that is removed afterwards.

    Raises `Problem`; it does not name places on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="shoplens-submission-") as made:
        # Links in the way there would be resolved in messages.
        folder = Path(made).resolve() / "submission"
        folder.mkdir()
        try:
            return taken(folder)
        except ChallengeError as error:
            raise Problem("challenge_rule", str(error)) from None
        except RankingError as error:
            raise Problem("bad_answer", _without(folder, error)) from None
        except (DataError, MissingError, ShoplensError) as error:
            raise Problem("bad_submission", _without(folder, error)) from None


def _without(folder: Path, error: ShoplensError) -> str:
    return str(error).replace(f"{folder}/", "").replace(str(folder), "the submission")


def _who(team: str) -> str:
    return f"team {team}, over HTTP"
