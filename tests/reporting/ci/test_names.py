"""Names of runs in what CI systems compare: one line each, and each its own."""

from __future__ import annotations

from collections.abc import Callable

from pytest_nos_stress.reporting.ci.names import distinct, run_name
from pytest_nos_stress.results.summary_types import Summary


def test_a_first_run_is_called_as_its_test_and_a_later_one_says_which(
    summary: Callable[..., Summary],
) -> None:
    assert run_name(summary(test="a::b")) == "a::b"
    assert run_name(summary(test="a::b", run=3)) == "a::b run 3"


def test_a_name_is_one_printable_line(hostile_run: Summary) -> None:
    assert run_name(hostile_run).isprintable()


def test_names_that_come_again_are_numbered_even_where_the_number_is_taken() -> None:
    assert distinct(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]
