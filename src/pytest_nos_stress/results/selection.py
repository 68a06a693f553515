"""Selection of the operations that a figure is computed from."""

from __future__ import annotations

from typing import NamedTuple


class Selection(NamedTuple):
    """Operations of one agent, one task and one state of faults; None selects all."""

    agent: str | None = None
    task: str | None = None
    faults: str | None = None
