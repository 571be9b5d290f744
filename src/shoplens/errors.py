"""The exception tree.

::

    ShoplensError            anything shoplens refuses to go on with; exit code 1
    ├── DataError            the tables or folders handed in are faulty
    ├── PhotoError           one photo cannot be used (becomes a counted Failure in a batch)
    ├── FailureLimitError    more photos failed than the caller allows
    ├── RankingError         an answer array or a set of vectors does not fit
    │   └── ChainError       the text of a re-ranking chain cannot be understood; exit code 2
    ├── ModelError           a model folder is faulty or does not match the vectors
    ├── ChallengeError       a rule of the challenge forbids it: a limit, a deadline, the seal
    ├── ServiceError         a service (`shoplens serve`) refused a request, or did not answer
    └── MissingError         an extra or a file that is needed is not there; exit code 3

A message says what was wrong (with the value), where, and what to do about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoplens.records import Failure, Fault


_SHOWN = 40
"""Characters of a text that are shown on either side of a fault in it."""
_MOST_CAUSES = 10
"""Kinds of faults that a message names."""
_MOST_ALIKE = 3
"""Faults of one kind that a message names."""

__all__ = [
    "CatalogBusyError",
    "CatalogError",
    "ChainError",
    "ChallengeError",
    "DataError",
    "EntryError",
    "FailureLimitError",
    "FilterError",
    "MissingError",
    "ModelError",
    "PhotoError",
    "RankingError",
    "ServiceError",
    "ShoplensError",
    "ShoplensWarning",
]


class ShoplensError(Exception):
    """Base of every error shoplens raises on purpose. Catch it to catch them all."""

    exit_code = 1


class ShoplensWarning(UserWarning):
    """Something that does not stop the work but that you should know, as a cache without room."""


class DataError(ShoplensError):
    """The dataset cannot be read as it is.

    Catch it to show the user every fault at once: they are in `faults`.
    """

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *_shown(self.faults)]))


def _shown(faults: Sequence[Fault]) -> Iterator[str]:
    """Yield lines for a message: a few faults of each cause."""
    causes: dict[object, list[Fault]] = {}
    for fault in faults:
        causes.setdefault(fault.cause, []).append(fault)
    for number, alike in enumerate(causes.values()):
        if number == _MOST_CAUSES:
            yield f"  ... and faults of {len(causes) - number} other kinds"
            return
        yield from (f"  {fault}" for fault in alike[:_MOST_ALIKE])
        if len(alike) > _MOST_ALIKE:
            yield f"  ... and {len(alike) - _MOST_ALIKE:,} more like it"


class PhotoError(ShoplensError):
    """One photo cannot be used.

    `reason` is a short word to count by (see `shoplens.records.REASONS`). Catch it around a single
    photo; a batch turns it into a `Failure` record and goes on.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)

    def __reduce__(self) -> tuple[type[PhotoError], tuple[str, str]]:
        # A photo with a problem is sent to other processes too.
        return type(self), (self.reason, str(self))


class FailureLimitError(ShoplensError):
    """More photos failed than the caller allows; `failures` holds their records.

    Catch it to show what went wrong with them. What was computed before is in the cache.
    """

    def __init__(self, failures: Sequence[Failure], n_photos: int) -> None:
        self.failures = tuple(failures)
        reasons = Counter(failure.reason for failure in self.failures).most_common()
        counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        last = self.failures[-1]
        super().__init__(
            f"stopped: {len(self.failures):,} of the first {n_photos:,} photos failed ({counted}), "
            f"more than the limit; the last was {last.name}: {last.detail}"
        )


class RankingError(ShoplensError):
    """An answer array, a saved ranking or a set of vectors does not fit the data.

    Catch it where answers of others are read.
    """


class _PointedError(ShoplensError):
    """A text that was given cannot be understood; the message shows where."""

    exit_code = 2

    def __init__(self, text: str, position: int, problem: str) -> None:
        self.text = text
        self.position = position
        self.problem = problem
        super().__init__(_pointed(text, position, problem))

    def __reduce__(self) -> tuple[type[_PointedError], tuple[str, int, str]]:
        return type(self), (self.text, self.position, self.problem)


class ChainError(_PointedError, RankingError):
    """The text of a re-ranking chain cannot be understood.

    Catch it to show the user where: `position` counts characters of `text` from 0.
    """


def _pointed(text: str, position: int, problem: str) -> str:
    """Return a message with the text around a fault in it, and a mark below the fault."""
    start, end = max(0, position - _SHOWN), position + _SHOWN
    shown = "".join(c if c.isprintable() else " " for c in text[start:end])
    before, after = "... " if start else "", " ..." if end < len(text) else ""
    marker = " " * (len(before) + position - start)
    return f"{problem}\n  {before}{shown}{after}\n  {marker}^"


class ModelError(ShoplensError):
    """A model is faulty, or vectors of different models were about to be compared.

    Catch it where a model is chosen by name or path.
    """


class CatalogError(ShoplensError):
    """A catalogue cannot be opened, read or written, or what it holds is damaged.

    Catch it where a catalogue is used; what was acknowledged before is not lost.
    """


class CatalogBusyError(CatalogError):
    """Another process writes to the catalogue; the message names it.

    Catch it to try again later, or open the catalogue with `read_only=True`.
    """


class EntryError(CatalogError):
    """What was given for a photo cannot be stored: its id, its vector or an attribute.

    Catch it to tell whoever gave it; nothing was changed.
    """


class FilterError(_PointedError, CatalogError):
    """A filter cannot be understood.

    Catch it to show the user where: `position` counts characters of `text` from 0.
    """


class ChallengeError(ShoplensError):
    """A rule of the challenge forbids what was asked: a limit, a deadline, the seal.

    Catch it to tell a team why; nothing was changed.
    """


class ServiceError(ShoplensError):
    """A service (`shoplens serve`) refused a request, failed, or did not answer.

    Catch it around calls of `shoplens.client`, and decide by `code`, which does not change between
    versions.
    """

    def __init__(
        self,
        status: int | None,
        code: str,
        detail: str,
        request_id: str | None = None,
        retry_after: float | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        self.status = status
        """The HTTP status; None where no answer came."""
        self.code = code
        """A code of the service's problem documents, such as `bad_filter`. The client adds
        `unreachable`, `no_answer_in_time`, and `not_a_service` for an answer that is none of the
        service's, such as a proxy's."""
        self.detail = detail
        self.request_id = request_id
        """What the service's logs call the request."""
        self.retry_after = retry_after
        """Seconds after which the service asks to be tried again."""
        self.members = dict(members or {})
        """What else the problem document says, such as the `position` of a filter's fault."""
        known = [code, status and f"status {status}", request_id and f"request {request_id}"]
        super().__init__(f"{detail} ({', '.join(str(word) for word in known if word)})")

    def __reduce__(self) -> tuple[type[ServiceError], tuple[Any, ...]]:
        return type(self), (
            self.status,
            self.code,
            self.detail,
            self.request_id,
            self.retry_after,
            self.members,
        )


class MissingError(ShoplensError):
    """A file or an optional extra that is needed is not there.

    Catch it to tell the user what to install or bring.
    """

    exit_code = 3


def reason_of(error: BaseException) -> str:
    """Return what an exception of another library says, or what it is where it says nothing."""
    return str(error) or type(error).__name__
