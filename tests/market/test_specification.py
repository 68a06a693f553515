"""The market setting: its values, and the market that each value opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, SettingError
from pytest_nos_stress.market.prices.events import EVENTS
from pytest_nos_stress.market.prices.volatility import MODELS
from pytest_nos_stress.market.specification import check_market

BARS = """timestamp,open,high,low,close,volume
2026-01-05T14:30:00Z,{0},{0},{0},{0},9
2026-01-05T14:31:00Z,{0},{0},{0},{0},9
"""


def prices_seen(directory: Path, market: Any) -> set[float]:
    seen: set[float] = set()

    def buy(operation: Operation) -> None:
        seen.add(operation.market.quote(operation.market.symbols[0]).last)

    MultiAgentSimulator(
        agents=1,
        target={"buy": buy},
        market=market,
        engine="virtual",
        missing_data_prob=0,
        failure_prob=0,
        operations_per_agent=3,
        output_dir=directory / "out",
    ).run()
    return seen


def test_the_name_of_every_model_and_every_event_is_a_market() -> None:
    for name in (*MODELS, *EVENTS):
        assert check_market(name) == name


def test_a_recorded_file_can_be_a_path_and_is_a_string_in_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "aapl.csv"
    file.write_text(BARS.format(500))
    assert prices_seen(tmp_path, {"replay": file}) == {500.0}
    scenario = Scenario(market={"replay": file})
    assert Scenario.from_json(scenario.to_json()) == scenario


def test_a_changed_file_and_a_file_of_the_same_name_in_another_directory_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, price in enumerate((100, 200)):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "aapl.csv").write_text(BARS.format(price))
        monkeypatch.chdir(directory)
        assert prices_seen(tmp_path, {"replay": "aapl.csv"}) == {float(price)}
    (directory / "aapl.csv").write_text(BARS.format(3000))
    assert prices_seen(tmp_path, {"replay": "aapl.csv"}) == {3000.0}


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ("crsh", "unknown name; known names: equity"),
        ({"modle": "gjr"}, "unknown key 'modle'"),
        ({"model": object()}, "is not a name, number or path"),
        ({"replay": "nowhere.csv"}, "nowhere.csv"),
        ({"replay": "a.csv", "model": "gjr"}, "'replay' and 'model' exclude each other"),
        (3, "{'replay': path}"),
    ],
)
def test_an_invalid_market_is_a_one_line_error(market: Any, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario(market=market)
    assert len(str(caught.value).splitlines()) == 1
    assert words in str(caught.value)
