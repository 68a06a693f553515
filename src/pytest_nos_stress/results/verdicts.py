"""Verdicts of thresholds and checks: the four words, and the sentence that states one."""

from __future__ import annotations

from typing import Final

PASSED: Final = "passed"
FAILED: Final = "failed"
NO_DATA: Final = "no data"
"""The run measured too little to judge, or ended before a check could be judged."""
NOT_APPLICABLE: Final = "not applicable"
"""The threshold applies to the whole session, and this run lacks what it names."""

_VERBS: Final = {NO_DATA: "has no data", NOT_APPLICABLE: "is not applicable"}


def sentence(subject: str, verdict: str, detail: str) -> str:
    """Return a verdict in words, for example ``threshold errors == 0 failed: 3``."""
    return f"{subject} {_VERBS.get(verdict, verdict)}: {detail}"
