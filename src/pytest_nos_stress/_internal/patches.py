"""Functions that stand in for attributes of other modules for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Patch:
    """A function that stands in for an attribute. ``make`` makes it from the function that it calls."""

    def __init__(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        self._owner = owner
        self._name = name
        self._make = make
        self._before: Any = None
        self._ours: Any = None

    def apply(self) -> None:
        """Replace the attribute. Do nothing if the owner does not have it."""
        current = getattr(self._owner, self._name, None)
        # Ours is still in place if somebody replaced it in the meantime and restored it after `undo`.
        if current is None or current is self._ours:
            return
        self._before, self._ours = current, self._make(current)
        setattr(self._owner, self._name, self._ours)

    def undo(self) -> None:
        """Restore the attribute, unless somebody else has replaced it."""
        if self._ours is not None and getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._before)
            self._ours = None
