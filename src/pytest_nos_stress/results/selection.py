"""Selection: which operations a figure is about."""

from __future__ import annotations

from typing import NamedTuple


class Selection(NamedTuple):
    """Operations of an agent, a task, a state of faults, ended before a time of the engine's clock; None: any."""

    agent: str | None = None
    task: str | None = None
    faults: str | None = None
    before_ns: int | None = None
