"""How settings from several places become those of one run: which goes before which, and which exclude each other.

Guarantee: what is given in one place and cannot be meant together is a ``SettingError`` of one line there; what
only does not hold together once all places are merged is one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_ADDED_UP: Final = ("thresholds", "checks")


def merge(levels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The levels' settings, a later level before an earlier one.

    Thresholds and checks add up. A level that gives a duration takes the place of a number of operations
    below it, and the other way round.
    """
    merged: dict[str, Any] = {"thresholds": ()}
    for level in levels:
        if level.get("duration") is not None:
            merged.pop("operations_per_agent", None)
        if "operations_per_agent" in level:
            merged.pop("duration", None)
        added = {
            name: (*merged.get(name, ()), *level.get(name, ()))
            for name in _ADDED_UP
            if name in merged or name in level
        }
        merged |= {**level, **added}
    return merged
