"""What is known of a run in which an operation took longer than its timeout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_nos_stress.engines.base import StuckAgent


class HangReport(NamedTuple):
    """The agents of a hung run, and where their operations are."""

    timeout: float
    """Seconds that an operation may take (``operation_timeout``)."""
    activities: Mapping[str, str]
    """For each agent that was seen to hang, what it was doing, such as ``task buy``."""
    timed_out: Sequence[StuckAgent] = ()
    """Agents whose operation the engine ended because it waited too long."""
    cancelled: Sequence[StuckAgent] = ()
    """Agents whose operation the engine ended when the run was stopped."""
    still_running: Sequence[StuckAgent] = ()
    """Agents whose operation could not be ended."""
