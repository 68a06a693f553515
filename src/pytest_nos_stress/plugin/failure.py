"""The failure of a test, so that it is recognized when the test is run again."""

from __future__ import annotations

from typing import NamedTuple

from pytest_nos_stress._internal.text import error_name
from pytest_nos_stress.results.check_verdict import BROKEN
from pytest_nos_stress.results.result import CheckFailed, ThresholdsNotMet


class FailureSignature(NamedTuple):
    """The part of a failure that is the same whenever the test fails in this way."""

    error: BaseException
    parts: tuple[str, ...]
    """The error's type, and the checks or thresholds that did not hold, or the place where it was raised."""
    error_types: frozenset[str] = frozenset()
    """The types of the target's errors."""

    def is_like(self, other: FailureSignature) -> bool:
        """Whether both are the same failure; this one may have fewer types of errors than the other."""
        types_agree = not other.error_types or bool(self.error_types & other.error_types)
        return self.parts == other.parts and types_agree


def signature_of(error: BaseException) -> tuple[str, ...]:
    """The parts of a run's failure: its type, and the names of the checks or thresholds that did not hold."""
    if isinstance(error, CheckFailed):
        broken = (check.name for check in error.result.checks if check.verdict == BROKEN)
        return (error_name(error), *broken)
    if isinstance(error, ThresholdsNotMet):
        missed = (verdict.threshold.text for verdict in error.result.verdicts if not verdict.passes)
        return (error_name(error), *missed)
    return (error_name(error),)
