"""The choice of a re-ranking chain: on labelled queries, or on queries made of the gallery alone.

Read `choice` first, then `pairs` and `chains`.
"""

from __future__ import annotations

from shoplens.choosing.chains import chains
from shoplens.choosing.choice import Choice, choose
from shoplens.choosing.pairs import pairs_of

__all__ = ["Choice", "chains", "choose", "pairs_of"]
