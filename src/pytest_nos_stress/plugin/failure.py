"""What a test failed of, so that the same failure is known again when the test is run again."""

from __future__ import annotations

from typing import NamedTuple

from pytest_nos_stress._internal.text import error_name
from pytest_nos_stress.results.check_verdict import BROKEN
from pytest_nos_stress.results.result import CheckFailed, ThresholdsNotMet


class FailureSignature(NamedTuple):
    """What a test failed of, so that another failure can be told from the same one again."""

    error: BaseException
    kind: tuple[str, ...]
    error_types: frozenset[str] = frozenset()
    """The types of the target's errors."""

    def is_like(self, other: FailureSignature) -> bool:
        """Whether it is the same again, perhaps with fewer types of errors."""
        types_agree = not other.error_types or bool(self.error_types & other.error_types)
        return self.kind == other.kind and types_agree


def signature_of(problem: BaseException) -> tuple[str, ...]:
    """Exceptions of two runs are of one kind if the same checks or thresholds did not hold."""
    if isinstance(problem, CheckFailed):
        return (error_name(problem), *(one.name for one in problem.result.checks if one.verdict == BROKEN))
    if isinstance(problem, ThresholdsNotMet):
        return (error_name(problem), *(one.threshold.text for one in problem.result.verdicts if not one.passes))
    return (error_name(problem),)
