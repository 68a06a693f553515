"""Names of runs in the files that CI systems compare between commits.

A name is one line without control characters, and each run of a session has another name. CI systems would
otherwise overwrite or reject figures that share a name.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.summary_types import Summary


def run_name(run: Summary) -> str:
    """Return the test's id, followed by the number of the run unless the run is the test's first."""
    test = escape_controls(str(run["test"]))
    return test if run["run"] == 1 else f"{test} run {run['run']}"


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names in order, with a number added to each repeated name."""
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
