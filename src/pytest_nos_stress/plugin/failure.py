"""The signature of a test's failure, by which the same failure is recognized when the test is repeated."""

from __future__ import annotations

from typing import NamedTuple

from pytest_nos_stress._internal.text import error_name
from pytest_nos_stress.results.result import CheckFailed, ThresholdsNotMet
from pytest_nos_stress.results.verdicts import FAILED


class FailureSignature(NamedTuple):
    """The parts of a failure that stay the same each time the test fails in this way."""

    error: BaseException
    parts: tuple[str, ...]
    """The error's type, followed by the checks or thresholds that failed, or by the line that raised the error."""
    error_types: frozenset[str] = frozenset()
    """Types of the target's errors in the run."""

    def is_like(self, other: FailureSignature) -> bool:
        """Return True if both are the same failure: equal parts, and a common error type if ``other`` has any."""
        types_agree = not other.error_types or bool(self.error_types & other.error_types)
        return self.parts == other.parts and types_agree


def signature_of(error: BaseException) -> tuple[str, ...]:
    """Return the parts of a run's failure: its type, and the checks or thresholds that did not pass."""
    if isinstance(error, CheckFailed):
        failed_checks = (check.name for check in error.result.checks if check.verdict == FAILED)
        return (error_name(error), *failed_checks)
    if isinstance(error, ThresholdsNotMet):
        failed_thresholds = (verdict.threshold.text for verdict in error.result.verdicts if not verdict.passes)
        return (error_name(error), *failed_thresholds)
    return (error_name(error),)
