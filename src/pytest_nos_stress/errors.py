"""The exceptions a user meets, besides ``SettingError``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import StressResult


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


for _public in (MissingDataError, RunFailed, ThresholdsNotMet):
    _public.__module__ = "pytest_nos_stress"  # where users import them from, and shorter in a summary of failures
