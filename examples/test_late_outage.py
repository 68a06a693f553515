"""An outage at the end of a run: a threshold on the average passes, a threshold over windows fails.

The venue refuses half of the orders in the last tenth of a ten-minute trading day. That is one order in twenty, so
``failure_rate < 10%`` passes. ``over 30s`` evaluates each window of 30 seconds separately. The day is in virtual
time and takes a second. The report shows when the venue was down, and which agents it affected.
"""

from __future__ import annotations

import pytest

from pytest_nos_stress import Operation, StressSimulator, ThresholdsNotMet

DAY = 600.0
OUTAGE = 540.0


class VenueDown(Exception):
    """The venue's reply while it is down."""


class Desk:
    """A client of a venue that goes down before the day ends."""

    def __init__(self) -> None:
        self.opened: float | None = None

    def buy(self, operation: Operation) -> None:
        self.opened = operation.now() if self.opened is None else self.opened
        operation.sleep(operation.random.uniform(0.005, 0.02))
        if operation.now() - self.opened > OUTAGE and operation.random.random() < 0.5:
            raise VenueDown("503 from the venue")


def trade_for_a_day(stress_simulator: StressSimulator, *thresholds: str) -> None:
    stress_simulator.run(
        Desk(),
        tasks=["buy"],
        agents=4,
        engine="virtual",
        duration=DAY,
        min_delay=0.1,
        max_delay=0.3,
        missing_data_prob=0,
        failure_prob=0,
        expected_errors=VenueDown,
        thresholds=thresholds,
    )


def test_the_average_of_the_day_hides_the_outage(stress_simulator: StressSimulator) -> None:
    trade_for_a_day(stress_simulator, "failure_rate < 10%")


def test_a_threshold_over_windows_finds_the_outage(stress_simulator: StressSimulator) -> None:
    with pytest.raises(ThresholdsNotMet, match="over 30s failed") as failure:
        trade_for_a_day(stress_simulator, "failure_rate < 10% over 30s")
    windows = failure.value.result.verdicts[0].windows  # 20 of 30 s, and perhaps one that ends with the last order
    assert [window.verdict for window in windows[:20]] == ["passed"] * 18 + ["failed"] * 2
