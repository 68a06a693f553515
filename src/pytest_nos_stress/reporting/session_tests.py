"""The stress tests of a session, beside its runs.

A page about a session lists runs. A test that failed before its first run, was ended by a crash, or never began
has no run that shows it. So each page also has a row for every such test, and is not green.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pytest_nos_stress.results.session_tests import NOT_FINISHED, NOT_RUN, SKIPPED, SessionTests
from pytest_nos_stress.results.summary_types import SessionTest, Summary
from pytest_nos_stress.results.verdicts import FAILED, PASSED

from .summary import is_failure

# What a headline says of one test, and of several, by outcome. The order is that of the rows.
_TEXTS: Final = {
    FAILED: ("failed outside of a run", "failed outside of a run"),
    NOT_FINISHED: ("did not finish", "did not finish"),
    NOT_RUN: ("was not run", "were not run"),
    SKIPPED: ("was skipped", "were skipped"),
}


def without_run(runs: Sequence[Summary], session: SessionTests) -> list[SessionTest]:
    """Return the tests whose outcome no run shows, failed tests first and skipped ones last."""
    tests_with_runs = {run["test"] for run in runs}
    failed = {run["test"] for run in runs if is_failure(run)}
    tests = [
        test
        for test in session.tests
        if test["outcome"] in _TEXTS
        and test["test"] not in (tests_with_runs if test["outcome"] == SKIPPED else failed)
    ]
    return sorted(tests, key=lambda test: list(_TEXTS).index(test["outcome"]))


def is_bad(test: SessionTest) -> bool:
    """Return True if a session with this test has not passed."""
    return test["outcome"] not in (PASSED, SKIPPED)


def has_passed(runs: Sequence[Summary], session: SessionTests) -> bool:
    """Return True if the session has runs and was not stopped, and no run or test has failed or is unfinished."""
    if not runs or session.stopped or any(map(is_failure, runs)):
        return False
    return not any(map(is_bad, without_run(runs, session)))


def headline(
    runs: Sequence[Summary], session: SessionTests, *, did_not_pass: str = "failed", all_passed: str = ""
) -> str:
    """Return the session's verdict in words.

    ``did_not_pass`` is the verb for failed runs. ``all_passed`` is the text if there is nothing else to tell.
    """
    failed = sum(map(is_failure, runs))
    outcomes = Counter(test["outcome"] for test in without_run(runs, session))
    parts = {
        outcome: _counted(outcomes[outcome], *texts) for outcome, texts in _TEXTS.items() if outcomes[outcome]
    }
    if not failed and not parts and not session.stopped:
        return (all_passed or f"All {len(runs)} runs passed") if runs else "No runs"
    skipped = parts.pop(SKIPPED, "")
    passed = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} passed" if runs else "no runs"
    text = ", ".join(
        filter(
            None,
            (
                f"{failed} of {len(runs)} runs {did_not_pass}" if failed else "",
                *parts.values(),
                "the session was stopped" if session.stopped else "",
                "" if failed else passed,
                skipped,
            ),
        )
    )
    return text[0].upper() + text[1:]


def _counted(tests: int, one: str, several: str) -> str:
    return f"1 test {one}" if tests == 1 else f"{tests} tests {several}"
