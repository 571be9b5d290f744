"""The score of a product, from those of its photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shoplens.errors import RankingError

DEFAULT_TEMPERATURE = 0.02
"""Of `logsum` where none is named or learned."""

_MEANS = {"best": 1, "mean2": 2, "mean3": 3}
LOGSUM = "logsum"
PRODUCT_SCORES = (*_MEANS, LOGSUM)


@dataclass(frozen=True, slots=True)
class ProductScore:
    """How the scores of a product's photos become one.

    best
        That of its best photo.
    mean2, mean3
        The mean of its best two or three, or of as many as it has.
    logsum
        `T * log(sum(exp(score / T)))` over its photos. The lower the temperature T, the more the
        best photo counts; each further photo adds something.
    """

    name: str
    """One of `PRODUCT_SCORES`."""
    temperature: float = DEFAULT_TEMPERATURE
    """Of `logsum`."""

    @classmethod
    def parse(cls, text: str, temperature: float | None = None) -> ProductScore:
        """Read `best`, `mean2`, `mean3`, `logsum`, or `logsum:T` with a temperature T.

        Args:
            text: the name.
            temperature: of `logsum` where the text has none; None for the usual one.

        Raises `RankingError` if it is none of these.
        """
        name, colon, after = text.partition(":")
        if name not in PRODUCT_SCORES or (colon and name != LOGSUM):
            raise RankingError(
                f"no product score {text!r}; there are {', '.join(PRODUCT_SCORES)} and logsum:T, "
                "where T is a temperature such as 0.05"
            )
        if not colon:
            return cls(name, temperature or DEFAULT_TEMPERATURE)
        try:
            number = float(after)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise RankingError(f"the temperature of {text!r} must be a positive number, as 0.05")
        return cls(name, number)

    def __str__(self) -> str:
        return f"{LOGSUM}:{self.temperature:g}" if self.name == LOGSUM else self.name

    @property
    def is_best(self) -> bool:
        """Whether it is the score of the best photo."""
        return self.name == "best"

    def of(self, scores: Sequence[float]) -> float:
        """Return the score of a product.

        Args:
            scores: those of its photos, best first; at least one.
        """
        if self.name == LOGSUM:
            best = scores[0]
            parts = sum(math.exp((score - best) / self.temperature) for score in scores)
            return best + self.temperature * math.log(parts)
        counted = scores[: _MEANS[self.name]]
        return sum(counted) / len(counted)
