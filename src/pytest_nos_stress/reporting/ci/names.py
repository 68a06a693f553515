"""Names of runs in the files that CI systems compare between commits.

A name is one line without control characters, and no two runs of a session share one: what is compared by name
would otherwise be overwritten or refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.summary_types import Summary


def run_name(run: Summary) -> str:
    """The test's id, and which run of the test it was where it is not the first."""
    test = escape_controls(str(run["test"]))
    return test if run["run"] == 1 else f"{test} run {run['run']}"


def distinct(names: Iterable[str]) -> list[str]:
    """The names in order, numbered where one comes again."""
    seen: set[str] = set()
    distinct_names = []
    for name in names:
        number, candidate = 1, name
        while candidate in seen:
            number += 1
            candidate = f"{name} ({number})"
        seen.add(candidate)
        distinct_names.append(candidate)
    return distinct_names
