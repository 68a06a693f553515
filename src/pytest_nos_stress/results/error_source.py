"""Source of an error: an operation, or something that the target left behind."""

from __future__ import annotations

from typing import Final

OPERATION: Final = "operation"
"""Source of an error that an operation raised. The source of a background error describes where it was raised."""


def place_of(source: str, agent: str | None, task: str | None) -> str:
    """Return where an error was raised, for people: ``agent Ann, task buy`` or ``thread 'feed' of agent Ann``."""
    if agent is None:
        place = "no known agent" if source == OPERATION else f"{source} of no known agent"
    else:
        place = f"agent {agent}" if source == OPERATION else f"{source} of agent {agent}"
    return place if task is None else f"{place}, task {task}"
