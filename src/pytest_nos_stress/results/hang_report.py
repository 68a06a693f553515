"""Report on a run in which an operation took longer than ``operation_timeout``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_nos_stress.engines.base import StuckAgent


class HangReport(NamedTuple):
    """Agents of a hung run, and the lines of code at which their operations are."""

    timeout: float
    """Seconds that an operation may take (``operation_timeout``)."""
    activities: Mapping[str, str]
    """Activity of each agent that was found hanging, such as ``task buy``."""
    timed_out: Sequence[StuckAgent] = ()
    """Agents whose operation the engine ended because it took longer than the timeout."""
    cancelled: Sequence[StuckAgent] = ()
    """Agents whose operation the engine ended when the run was stopped."""
    still_running: Sequence[StuckAgent] = ()
    """Agents whose operation could not be ended."""
