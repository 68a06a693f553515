"""Failures of tests: the failure of a body, and the signature by which a repeated test's failure is recognized."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_nos_stress._internal.text import error_name
from pytest_nos_stress.results.result import CheckFailed, RunFailed, ThresholdsNotMet
from pytest_nos_stress.results.verdicts import FAILED


class BodyFailed(pytest.fail.Exception, AssertionError):  # type: ignore[name-defined, misc]
    """Raised if a run of a test's body does not pass.

    pytest shows it without a traceback. ``xfail(raises=AssertionError)`` matches it.
    """

    __module__ = "builtins"  # as pytest's own outcomes, so that a summary shows the message, not the module


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


def failure_behind(
    excinfo: pytest.ExceptionInfo[BaseException], problem: BaseException | None
) -> FailureSignature:
    """Return the failure of a test. ``problem``: the exception with which its last failed run ended, if any."""
    error = excinfo.value
    if problem is not None and (error is problem or isinstance(error, BodyFailed)):
        types = problem.result.error_types if isinstance(problem, RunFailed) else []
        return FailureSignature(problem, _signature_of(problem), frozenset(row["type"] for row in types))
    crash = excinfo.traceback[-1]
    return FailureSignature(error, (error_name(error), f"{crash.path}:{crash.lineno}"))


def _signature_of(error: BaseException) -> tuple[str, ...]:
    """Return the parts of a run's failure: its type, and the checks or thresholds that did not pass."""
    if isinstance(error, CheckFailed):
        failed_checks = (check.name for check in error.result.checks if check.verdict == FAILED)
        return (error_name(error), *failed_checks)
    if isinstance(error, ThresholdsNotMet):
        failed_thresholds = (verdict.threshold.text for verdict in error.result.verdicts if not verdict.passes)
        return (error_name(error), *failed_thresholds)
    return (error_name(error),)
