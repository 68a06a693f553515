"""One row per fault: every row is complete, and a new fault needs only a new row."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, SettingError, StressResult, flaky
from pytest_nos_stress._internal.outcome import FAILED, MISSING, SUCCESS
from pytest_nos_stress.faults import RequestRejected, catalogue
from pytest_nos_stress.faults.call_faults import CallEffect, FaultyCall
from pytest_nos_stress.faults.catalogue import CallFault, DataFault, Fault, StatefulFault
from pytest_nos_stress.faults.data_faults import FaultyFeed
from pytest_nos_stress.faults.parameters import Number, Range
from pytest_nos_stress.faults.rate_limits import RateLimits
from pytest_nos_stress.market import Quote

ROWS = tuple(catalogue.ROWS.values())


def rows_of(kind: type[Fault]) -> list[Any]:
    rows = [row for row in ROWS if isinstance(row, kind)]
    return [pytest.param(row, id=row.name) for row in rows]


@pytest.mark.parametrize("row", rows_of(CallFault))
def test_a_fault_of_calls_has_an_effect_that_agrees_with_its_row(row: CallFault) -> None:
    effect = row.effect(FaultyCall(row.complete({}), lambda: Random(1), timeout=1.0))
    is_executed = bool(effect.times) or effect.late is not None
    assert is_executed == row.executes_target
    assert row.outcome == (SUCCESS if effect.error is None else FAILED)
    if not row.needs_transport:
        assert effect.times <= 1
        assert effect.error is not None, "without a transport, the operation itself says how it ends"
    assert row.reaches_exchange or not is_executed


@pytest.mark.parametrize("row", rows_of(DataFault))
def test_a_kind_of_missing_data_has_a_feed_or_is_the_one_without_a_market(row: DataFault) -> None:
    assert row.outcome == MISSING
    assert row.executes_target
    assert not row.needs_transport
    assert (row.feed is None) == (row.name == catalogue.MISSING_DATA)


@pytest.mark.parametrize("row", rows_of(StatefulFault))
def test_a_fault_that_all_calls_share_refuses_calls(row: StatefulFault) -> None:
    limits = RateLimits({row.name: row.complete({"limit": 1, "at": 0.0})})
    assert [limits.check(1.0) for _ in range(2)][-1] is not None


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_a_row_has_a_name_of_its_own_and_defaults_that_its_parameters_allow(row: Fault) -> None:
    assert catalogue.ROWS[row.name] is row
    assert sum(other.setting_name == row.setting_name for other in ROWS) == 1
    for name, parameter in row.parameters.items():
        parameter.check(name, parameter.default)
    assert row.complete(row.complete({})) == row.complete({})
    assert not row.in_bursts or "burst" in row.parameters
    if row.unexecuted_part_of:
        assert "executed" in catalogue.ROWS[row.unexecuted_part_of].parameters


@pytest.mark.parametrize("profile", catalogue.PROFILES)
def test_a_brokers_profile_names_only_known_faults(profile: str) -> None:
    known = {**catalogue.call_faults(), **catalogue.stateful_faults()}
    assert catalogue.PROFILES[profile].keys() <= known.keys()


def test_a_row_without_its_effect_or_its_feed_is_refused() -> None:
    with pytest.raises(TypeError, match="effect"):
        CallFault(name="slow_ack")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="feed"):
        DataFault(name="frozen")  # type: ignore[call-arg]


# A row that a user adds is a fault like the others.


def slow_ack(call: FaultyCall) -> CallEffect:
    """Answer late with an error, although the broker has executed the request."""
    return CallEffect(after=call.uniform("delay"), error=RequestRejected("acknowledged too late"))


@pytest.fixture
def _slow_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    row = CallFault(name="slow_ack", effect=slow_ack, parameters={"delay": Range(2.0, 3.0)})
    monkeypatch.setitem(catalogue.ROWS, row.name, row)


def run(tmp_path: Path, target: Any, **settings: Any) -> StressResult:
    return MultiAgentSimulator(
        target={"buy": target},
        output_dir=tmp_path,
        engine="virtual",
        agents=3,
        operations_per_agent=40,
        seed=11,
        **{"missing_data_prob": 0, "failure_prob": 0, "min_delay": 0, "max_delay": 0, **settings},
    ).run()


@pytest.mark.usefixtures("_slow_ack")
def test_a_new_fault_takes_one_row_to_be_met_by_agents_calls(tmp_path: Path) -> None:
    planned = []
    result = run(
        tmp_path,
        lambda operation: planned.append(operation.fault),
        faults={"slow_ack": {"weight": 1, "delay": (4, 5)}, "late_status": 1},
        failure_prob=0.5,
    )
    took = result.records["latency"][result.records["outcome"] == FAILED] / 1e9
    assert result.stats["faults"].keys() == {"slow_ack", "late_status"}
    assert result.failures == result.stats["faults"]["slow_ack"] == planned.count("slow_ack") == took.size > 0
    assert (took >= 4).all()
    assert (took <= 5).all()
    assert result.errors == 0


@pytest.mark.usefixtures("_slow_ack")
def test_a_new_fault_takes_one_row_to_be_met_by_a_flaky_client(tmp_path: Path) -> None:
    class Client:
        def order(self) -> str:
            return "accepted"

    client = flaky(Client())
    answers: list[tuple[str, str | None, float]] = []

    def buy(operation: Operation) -> None:
        began = operation.now()
        try:
            answers.append((client.order(), None, operation.now() - began))
        except RequestRejected as error:
            answers.append((str(error), error.kind, operation.now() - began))

    result = run(tmp_path, buy, clients=[client], faults={"slow_ack": 1}, failure_prob=0.3)
    late = [took for answer, kind, took in answers if (answer, kind) == ("acknowledged too late", "slow_ack")]
    assert len(answers) == 120
    assert 0 < len(late) == result.stats["faults"]["slow_ack"]
    assert all(2 <= took <= 3.1 for took in late)
    assert {answer for answer, kind, _ in answers if kind is None} == {"accepted"}


@pytest.mark.usefixtures("_slow_ack")
def test_a_new_fault_may_be_listed_and_its_settings_are_checked() -> None:
    scenario = Scenario(operations=[("Ann", "buy", "slow_ack")])
    assert scenario.fault_mix.number_of["slow_ack"]
    with pytest.raises(SettingError, match="'delay' of 'slow_ack' is -1"):
        Scenario(faults={"slow_ack": {"delay": -1}})
    with pytest.raises(SettingError, match="did you mean 'slow_ack'"):
        Scenario(faults={"slow_akc": 1})


class Rounded(FaultyFeed):
    """Prices are rounded to ``step``."""

    def quote(self, symbol: str) -> Quote:
        quote = super().quote(symbol)
        step = float(self._parameters["step"])
        return quote._replace(last=round(quote.last / step) * step)


def test_a_new_kind_of_missing_data_takes_one_row_and_its_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = DataFault(name="rounded", feed=Rounded, parameters={"step": Number(1.0, least=0.01)})
    monkeypatch.setitem(catalogue.ROWS, row.name, row)
    prices = []

    def buy(operation: Operation) -> None:
        prices.append(operation.market.quote("AAPL").last)

    result = run(tmp_path, buy, missing_data={"rounded": {"step": 10}}, missing_data_prob=1)
    assert result.missing_data == 120
    assert result.stats["faults"] == {"rounded": 120}
    assert all(price % 10 == 0 for price in prices)
