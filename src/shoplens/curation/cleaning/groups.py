"""Groups of things that are linked, directly or through others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

_T = TypeVar("_T", bound=Hashable)


def linked_groups(pairs: Iterable[tuple[_T, _T]]) -> list[list[_T]]:
    """Return the groups that pairs link, each in the order in which the pairs name its members."""
    parent: dict[_T, _T] = {}

    def root(one: _T) -> _T:
        parent.setdefault(one, one)
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for first, second in pairs:
        a, b = root(first), root(second)
        if a != b:
            parent[b] = a
    groups: dict[_T, list[_T]] = {}
    for one in parent:
        groups.setdefault(root(one), []).append(one)
    return list(groups.values())
