"""Outcomes of a session's stress tests, as values. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .summary_types import SessionTest

SKIPPED: Final = "skipped"
NOT_FINISHED: Final = "not finished"
NOT_RUN: Final = "not run"


class SessionTests(NamedTuple):
    """All stress tests of a session. ``stopped``: the reason for which the session ended early, if it did."""

    tests: Sequence[SessionTest] = ()
    stopped: str = ""


NO_TESTS: Final = SessionTests()
