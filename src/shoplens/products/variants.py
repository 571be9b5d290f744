"""Which products are variants of one, such as its colours."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.errors import RankingError
from shoplens.hits import Hit, ProductKey

_BY_ID = "id:"


@dataclass(frozen=True, slots=True)
class Variants:
    """What variants of one product have in common, as the user names it."""

    attribute: str | None
    """An attribute whose value they share; None where their ids begin alike."""
    separator: str = ""
    """What ends the part of the id that they share."""

    @classmethod
    def parse(cls, text: str) -> Variants:
        """Read the name of an attribute, or `id:SEPARATOR`.

        With `id:-`, `chair-7-red` and `chair-7-blue` are variants: the part before the last `-` is
        the same.

        Raises `RankingError` if the text names neither.
        """
        if text.startswith(_BY_ID):
            if not (separator := text.removeprefix(_BY_ID)):
                raise RankingError(
                    f"{text!r} names no separator: id:- takes what is before the last - of an id"
                )
            return cls(None, separator)
        if not text:
            raise RankingError("name an attribute that variants share, or id: and a separator")
        return cls(text)

    def key(self, hit: Hit) -> ProductKey:
        """Return what variants have in common; for other products, what each is known by."""
        if self.attribute is not None:
            value = hit.attributes.get(self.attribute)
            return hit.product_key if value is None else ("variants", str(value))
        if hit.product_id is None:
            return hit.product_key
        shared, _, _ = hit.product_id.rpartition(self.separator)
        return ("variants", shared or hit.product_id)
