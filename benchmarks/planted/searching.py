"""Search for a planted bug with Hypothesis, count and time the runs, and run the variant without the bug."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from pytest_nos_stress import CheckFailed, Deadlock, Scenario, run_stress_test

from .bug import Bug, Service, Size

WITHOUT_EXPLAIN: Final = tuple(phase for phase in Phase if phase is not Phase.explain)
EVERY_PHASE: Final = tuple(Phase)


class Search(NamedTuple):
    """Result of one search.

    ``found_after`` is the number of runs up to the first failure, None if no run failed. ``scenario`` is the
    smallest failing scenario.
    """

    found_after: int | None
    runs: int
    seconds: float
    scenario: Scenario | None

    @property
    def size(self) -> Size | None:
        return None if self.scenario is None else Size.of(self.scenario)

    def reached(self, smallest: Size) -> bool:
        return self.size is not None and self.size.reaches(smallest)


def fails(make: Callable[[], Service], scenario: Scenario, output_dir: str) -> Exception | None:
    """Run a scenario on a new service. Return the exception if it fails."""
    service = make()
    try:
        run_stress_test(target=service, scenario=scenario, output_dir=output_dir, checks=[service.audit])
    except (CheckFailed, Deadlock) as error:
        return error
    return None


def search(
    bug: Bug,
    scenarios: st.SearchStrategy[Scenario],
    seed: int,
    examples: int,
    phases: tuple[Phase, ...] = WITHOUT_EXPLAIN,
) -> Search:
    """Search for the bug in up to ``examples`` scenarios, and shrink the first that fails."""
    runs = 0
    found_after: int | None = None
    failing: Scenario | None = None

    with tempfile.TemporaryDirectory(prefix="nos-stress-planted-") as directory:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(scenarios)
        def holds(scenario: Scenario) -> None:
            nonlocal runs, found_after, failing
            runs += 1
            error = fails(bug.broken, scenario, directory)
            if error is not None:
                found_after = found_after or runs
                failing = scenario  # Hypothesis runs the smallest scenario last.
                raise error

        began = time.perf_counter()
        try:
            holds()
        except (CheckFailed, Deadlock):
            pass
        except ExceptionGroup as group:
            if group.split((CheckFailed, Deadlock))[1] is not None:
                raise
        seconds = time.perf_counter() - began
    return Search(found_after, runs, seconds, failing)


def perform_fixed(bug: Bug, scenarios: st.SearchStrategy[Scenario], seed: int, examples: int) -> Search:
    """Run up to ``examples`` scenarios on the variant without the bug. A failure there is a false alarm."""
    fixed = Bug(bug.name, bug.description, bug.tasks, bug.fixed, bug.fixed, bug.smallest)
    return search(fixed, scenarios, seed, examples, (Phase.generate,))
