"""The exceptions a user meets, besides ``SettingError``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_nos_stress.results.result import StressResult


class MissingDataError(Exception):
    """The market data an operation asks for is not there: the planned missing-data fault."""


class RunFailed(AssertionError):
    """A run that must not pass: hung, without operations or files, with a lost agent or a broken threshold.

    ``result`` is what was measured all the same.
    """

    def __init__(self, message: str, result: StressResult) -> None:
        super().__init__(message)
        self.result = result


class ThresholdsNotMet(RunFailed):
    """One or more thresholds did not hold; the message has wanted and measured side by side."""


class CheckFailed(RunFailed):
    """A check did not hold: an invariant of the target, a state that was never seen, or a lack of recovery."""


class Abandoned(BaseException):
    """Raised in an agent that waits for what cannot come any more: the end of its operation, but no error of it.

    Not an ``Exception``, so that no target handles it.
    """


class Deadlock(RunFailed):
    """No agent of a virtual run could go on; the message says who waits for whom, and where."""


for _public in (MissingDataError, RunFailed, ThresholdsNotMet, CheckFailed, Abandoned, Deadlock):
    _public.__module__ = "pytest_nos_stress"  # where users import them from, and shorter in a summary of failures
