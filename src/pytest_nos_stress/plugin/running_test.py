"""The running test, from pytest's setup to its reports: its simulator and its failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from .session import StressSession

if TYPE_CHECKING:
    from .failure import FailureSignature
    from .simulator_fixture import StressSimulator


class RunningTest:
    """The running test of a session. The same object serves all tests, one after another."""

    def __init__(self, session: StressSession) -> None:
        self.session = session
        self.failure: FailureSignature | None = None
        """The failure of the running test in its call phase; None if it has not failed there."""
        self._simulator: StressSimulator | None = None

    @property
    def simulator(self) -> StressSimulator:
        """The value of the ``stress_simulator`` fixture, created on first use."""
        if self._simulator is None:
            from .simulator_fixture import StressSimulator

            self._simulator = StressSimulator(self.session)
        return self._simulator

    def begin(self, item: pytest.Item) -> None:
        """Begin a test. A test begins once for each time it is executed."""
        self.failure = None
        self.session.begin(item)
        if self._simulator is not None:
            self._simulator.begin()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Enclose the call of the test function. At the end, close the proxies that the test opened."""
        session = self.session
        session.is_in_call = True
        try:
            yield
        finally:
            session.is_in_call = False
            if session.proxies is not None:
                session.proxies.end_test()

    def require_run(self) -> None:
        """Fail the test if it never ran the simulator, or did not repeat the run of ``--stress-scenario``."""
        if not self.simulator.results:
            pytest.fail("stress test never ran the simulator: call stress_simulator.run(...)", pytrace=False)
        self.simulator.require_calls()
        self.session.require_repetition()

    def record_outcome(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Store the failure of the test, and add its runs to the report."""
        simulator = self._simulator
        if simulator is None or item is not self.session.item:
            return
        if call.when == "call" and call.excinfo is not None:
            self.failure = simulator.failure_behind(call.excinfo)
        ran = simulator.has_run and (call.when == "call" or (call.when == "setup" and report.failed))
        changed = simulator.has_unreported_results or (report.failed and simulator.has_run)
        if ran or (call.when == "teardown" and changed):
            simulator.add_to_report(report)
