"""Notes on operations that had not ended when their run ended."""

from __future__ import annotations

from typing import Final

from pytest_nos_stress._internal.text import counted, escape_controls
from pytest_nos_stress.results.status import HUNG

from .execution import RunExecution

_MOST_NAMED: Final = 3


def unended_operations(execution: RunExecution) -> list[str]:
    """Name the agents whose operations went on after the run, and the line of code at which each operation was.

    The reason of a run that hung names them already.
    """
    if execution.status == HUNG:
        return []
    stuck = execution.hang_report.still_running
    notes = [
        escape_controls(f"agent {agent.agent} had not ended its operation: {_last_line(agent.stack)}")
        for agent in stuck[:_MOST_NAMED]
    ]
    others = len(stuck) - len(notes)
    return [*notes, f"{counted(others, 'more agent')} had not ended an operation"] if others else notes


def _last_line(stack: str) -> str:
    """Return file, line and function of the last frame of a formatted stack."""
    frames = [line.strip() for line in stack.splitlines() if line.startswith("  File ")]
    return frames[-1] if frames else stack.strip()
