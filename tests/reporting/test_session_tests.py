"""The headline of a session, and the tests that have a row of their own."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_nos_stress.reporting.session_tests import has_passed, headline, without_run
from pytest_nos_stress.results.session_tests import NO_TESTS, SessionTests
from pytest_nos_stress.results.summary_types import SessionTest


def a_test(name: str, outcome: str) -> SessionTest:
    return {"test": name, "file": "", "line": 0, "outcome": outcome, "reason": "", "repeat": ""}


def a_run(test: str, outcome: str = "passed", *, passed: bool = True) -> Any:
    return {"test": test, "outcome": outcome, "passed": passed}


GOOD, BAD = a_run("good"), a_run("bad", "failed", passed=False)
SKIPPED, LATER = a_test("closed", "skipped"), a_test("later", "not run")
BROKEN, CUT = a_test("broken", "failed"), a_test("cut", "not finished")
SESSIONS: list[tuple[list[Any], list[SessionTest], str, bool]] = [
    ([], [], "No runs", False),
    ([GOOD], [a_test("good", "passed")], "All 1 runs passed", True),
    ([GOOD], [SKIPPED], "1 run passed, 1 test was skipped", True),
    ([GOOD, GOOD], [SKIPPED, a_test("other", "skipped")], "2 runs passed, 2 tests were skipped", True),
    ([], [SKIPPED], "No runs, 1 test was skipped", False),
    ([], [BROKEN], "1 test failed outside of a run, no runs", False),
    ([GOOD], [LATER], "1 test was not run, 1 run passed", False),
    ([GOOD], [CUT], "1 test did not finish, 1 run passed", False),
    ([GOOD, BAD], [a_test("bad", "failed")], "1 of 2 runs failed", False),
    (
        [GOOD, BAD],
        [SKIPPED, LATER, CUT, BROKEN],
        "1 of 2 runs failed, 1 test failed outside of a run, 1 test did not finish, 1 test was not run, "
        "1 test was skipped",
        False,
    ),
]


@pytest.mark.parametrize(("runs", "tests", "text", "passed"), SESSIONS, ids=[text for *_, text, _ in SESSIONS])
def test_the_headline_counts_what_did_not_pass(
    runs: list[Any], tests: list[SessionTest], text: str, passed: bool
) -> None:
    session = SessionTests(tests)
    assert headline(runs, session) == text
    assert has_passed(runs, session) == passed


def test_a_session_that_was_stopped_has_not_passed() -> None:
    stopped = SessionTests([], "interrupted")
    assert headline([GOOD], stopped) == "The session was stopped, 1 run passed"
    assert not has_passed([GOOD], stopped)
    assert has_passed([GOOD], NO_TESTS)


def test_a_test_has_a_row_of_its_own_unless_its_run_shows_the_outcome() -> None:
    caught = a_run("caught", "passed", passed=False)
    runs = [GOOD, BAD, caught, a_run("died")]
    tests = [
        SKIPPED,
        a_test("good", "passed"),
        a_test("bad", "failed"),
        a_test("caught", "passed"),
        a_test("died", "failed"),
        LATER,
        CUT,
        BROKEN,
    ]
    rows = [test["test"] for test in without_run(runs, SessionTests(tests))]
    assert rows == ["died", "broken", "cut", "later", "closed"]
