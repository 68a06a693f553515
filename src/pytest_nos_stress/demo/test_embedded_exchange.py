"""Let four agents trade on the embedded exchange, with the default faults and three thresholds."""

from __future__ import annotations

import pytest

from pytest_nos_stress import StressResult, StressSimulator
from pytest_nos_stress.market import EmbeddedExchange


@pytest.mark.stress(
    min_delay="5ms",
    max_delay="15ms",
    thresholds=["failure_rate < 20%", "missing_data_rate < 35%", "latency.p99 < 500ms"],
)
def test_agents_trade_on_the_embedded_exchange(stress_simulator: StressSimulator) -> None:
    exchange = EmbeddedExchange()
    result: StressResult = stress_simulator.run(target=exchange)
    assert result.errors == 0
    assert exchange.counts.trades > 0
    assert exchange.audit() == []
