"""The running test: its simulator and its failure, from pytest's setup to its reports."""

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
    """The test that runs, one after another, with the session that it is part of."""

    def __init__(self, session: StressSession) -> None:
        self.session = session
        self.failure: FailureSignature | None = None
        """The failure of the running test, in its call."""
        self._simulator: StressSimulator | None = None

    @property
    def simulator(self) -> StressSimulator:
        """The value of the ``stress_simulator`` fixture, made when a test first asks for it."""
        if self._simulator is None:
            from .simulator_fixture import StressSimulator

            self._simulator = StressSimulator(self.session)
        return self._simulator

    def begin(self, item: pytest.Item) -> None:
        """Begin a test, perhaps not for the first time."""
        self.failure = None
        self.session.begin(item)
        if self._simulator is not None:
            self._simulator.begin()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Mark the time in which the test's own code runs; close the proxies that it made when it has ended."""
        session = self.session
        session.is_in_call = True
        try:
            yield
        finally:
            session.is_in_call = False
            if session.proxies is not None:
                session.proxies.end_test()

    def require_run(self) -> None:
        """Fail the test if it ran no simulator, or not the run that it was to repeat."""
        if not self.simulator.results:
            pytest.fail("stress test never ran the simulator: call stress_simulator.run(...)", pytrace=False)
        self.session.require_repetition()

    def record_outcome(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Note the failure of the test, and put its runs on the report."""
        simulator = self._simulator
        if simulator is None or item is not self.session.item:
            return
        if call.when == "call" and call.excinfo is not None:
            self.failure = simulator.failure_behind(call.excinfo)
        ran = simulator.has_run and (call.when == "call" or (call.when == "setup" and report.failed))
        has_news = simulator.has_news or (report.failed and simulator.has_run)
        if ran or (call.when == "teardown" and has_news):
            simulator.add_to(report)
