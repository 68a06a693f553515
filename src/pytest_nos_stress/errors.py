"""The exceptions a user meets, besides ``SettingError``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import StressResult


class MissingDataError(Exception):
    """The market data an operation asks for is not there: the planned missing-data fault."""


class RunFailed(AssertionError):
    """A run that must not pass: hung, without operations, without its files, or with a broken threshold.

    ``result`` is what was measured all the same.
    """

    def __init__(self, message: str, result: StressResult) -> None:
        super().__init__(message)
        self.result = result


class ThresholdsNotMet(RunFailed):
    """One or more thresholds did not hold; the message has wanted and measured side by side."""
