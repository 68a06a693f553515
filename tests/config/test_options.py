"""The table of settings: allowed values in code and text, defaults, and the merge of sources."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress import MultiAgentSimulator, SettingError
from pytest_nos_stress.config import Setting
from pytest_nos_stress.config.merge import check_merged, check_source, merge
from pytest_nos_stress.config.options import BY_NAME, SETTINGS, check_all, find
from pytest_nos_stress.scenario.fields import DEFAULT_AGENTS

FROM_TEXT = [setting for setting in SETTINGS if setting.flag]


@pytest.mark.parametrize("setting", FROM_TEXT, ids=lambda setting: setting.name)
@pytest.mark.parametrize(
    "text",
    [
        "-" * 5_000 + "1",
        "(" * 3_000,
        "{'a':" * 60 + "1" + "}" * 60,
        "x=" + "[" * 60 + "]" * 60,
        "x=" + "-" * 5_000 + "1",
        "{[]: 1}",
        "{'buy': " + "9" * 5_000 + "}",
        "{'stale': 1e999}",
        "9" * 5_000,
        "\ufeff",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_is_a_value_or_one_line(setting: Setting, text: str) -> None:
    refusals: list[str] = []
    try:
        setting.read(text, str(setting.flag))
    except SettingError as error:
        refusals = str(error).splitlines()
    assert len(refusals) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("3", 3.0),
        ("3s", 3.0),
        ("7us", 7e-6),
        ("7ns", 7e-9),
        (" 1.5 s ", 1.5),
        (2, 2.0),
        (0.25, 0.25),
    ],
)
def test_times_are_seconds_or_text_with_a_unit(text: Any, expected: float) -> None:
    assert BY_NAME["duration"].check(text) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "value", ["", "ms", "5 parsecs", "5sm", "-1s", "nan", "inf", -1, math.nan, math.inf, True, b"1"]
)
def test_a_bad_time_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match=r"^max_delay=.*: must be seconds"):
        BY_NAME["max_delay"].check(value)


def test_a_count_of_agents_gives_them_numbered_names() -> None:
    assert BY_NAME["agents"].check(3) == ("Agent_1", "Agent_2", "Agent_3")


def test_agents_may_be_any_iterable_of_names() -> None:
    assert BY_NAME["agents"].check(name for name in ("Ann", "Bob")) == ("Ann", "Bob")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", tuple(f"Agent_{n}" for n in range(1, 9))),
        ("Ann", ("Ann",)),
        ("Ann, Bob", ("Ann", "Bob")),
        (["Ann", "Bob,Cy"], ("Ann", "Bob", "Cy")),
        (2, ("Agent_1", "Agent_2")),
    ],
)
def test_agents_on_the_command_line_are_a_count_or_names(text: Any, expected: tuple[str, ...]) -> None:
    assert BY_NAME["agents"].read(text, "--stress-agents") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("buy,sell", {"buy": 1.0, "sell": 1.0}),
        ("buy=3, sell=1", {"buy": 3.0, "sell": 1.0}),
        ("buy=3,sell", {"buy": 3.0, "sell": 1.0}),
        ({"buy": 2, "sell": 1}, {"buy": 2.0, "sell": 1.0}),
    ],
)
def test_tasks_on_the_command_line_may_have_weights(text: Any, expected: dict[str, float]) -> None:
    assert BY_NAME["tasks"].read(text, "--stress-tasks") == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("agents", "0"),
        ("agents", "-3"),
        ("agents", ","),
        ("agents", "Ann,Ann"),
        ("tasks", ""),
        ("tasks", "buy=none"),
        ("tasks", "buy=1,buy=2"),
        ("tasks", "buy=0"),
        ("missing_data_prob", "20%"),
        ("failure_prob", "1.5"),
        ("operations_per_agent", "1.5"),
        ("operations_per_agent", "0"),
        ("duration", "0"),
        ("min_delay", "fast"),
        ("max_delay", "-1"),
        ("failure_mode", "explode"),
        ("seed", "lucky"),
        ("engine", "gpu"),
        ("operation_timeout", "0s"),
        ("output_dir", " "),
    ],
)
def test_text_that_is_not_allowed_is_one_line_with_flag_value_and_what_is_allowed(name: str, text: str) -> None:
    setting = BY_NAME[name]
    assert setting.flag is not None
    with pytest.raises(SettingError) as caught:
        setting.read(text, setting.flag)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{setting.flag}=")
    assert message.endswith(setting.type.allowed)


@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS if setting.name != "tasks"], ids=lambda setting: str(setting.name)
)
def test_every_default_is_allowed(setting: Any) -> None:
    assert setting.check(setting.default) == setting.default


def test_the_simulators_keywords_and_defaults_are_those_of_the_table() -> None:
    parameters = inspect.signature(MultiAgentSimulator).parameters
    assert set(parameters) - {"target"} == set(BY_NAME)
    for setting in SETTINGS:
        if setting.name not in ("agents", "tasks"):
            assert parameters[setting.name].default == setting.default, setting.name


@pytest.mark.parametrize(
    ("flag", "ini"),
    [
        ("--stress-agents", "stress_agents"),
        ("--stress-tasks", "stress_tasks"),
        ("--stress-operations", "stress_operations"),
        ("--stress-duration", "stress_duration"),
        ("--missing-data-prob", "missing_data_prob"),
        ("--failure-prob", "failure_prob"),
        ("--stress-min-delay", "stress_min_delay"),
        ("--stress-max-delay", "stress_max_delay"),
        ("--stress-output-dir", "stress_output_dir"),
        ("--stress-seed", "stress_seed"),
        ("--stress-engine", "stress_engine"),
        ("--stress-threshold", "stress_thresholds"),
    ],
)
def test_every_promised_flag_exists_with_its_ini_key(flag: str, ini: str) -> None:
    assert [setting.ini for setting in SETTINGS if setting.flag == flag] == [ini]


def test_no_two_settings_share_a_flag_or_an_ini_key() -> None:
    for names in ([setting.flag for setting in FROM_TEXT], [setting.ini for setting in FROM_TEXT]):
        assert len(set(names)) == len(names)


def test_every_setting_has_help() -> None:
    assert all(len(setting.help) > 15 for setting in SETTINGS)


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingError, match="agent_count: no such setting"):
        find("agent_count")
    with pytest.raises(TypeError, match="did you mean 'failure_prob'"):
        find("failure_probability")
    with pytest.raises(SettingError, match="allowed: agents, tasks"):
        find("zzz")


def test_a_later_source_overrides_an_earlier_one_and_thresholds_accumulate() -> None:
    merged = merge(
        [
            {"agents": ("A",), "seed": 1, "thresholds": ("errors == 0",)},
            {"seed": 2, "thresholds": ("operations > 1",)},
            {"failure_prob": 0.5},
        ]
    )
    assert merged == {
        "agents": ("A",),
        "seed": 2,
        "failure_prob": 0.5,
        "thresholds": ("errors == 0", "operations > 1"),
    }


@pytest.mark.parametrize(
    ("levels", "left"),
    [
        ([{"duration": 5.0}, {"operations_per_agent": 7}], {"operations_per_agent": 7}),
        ([{"operations_per_agent": 7}, {"duration": 5.0}], {"duration": 5.0}),
        ([{"operations_per_agent": 7}, {"seed": 1}], {"operations_per_agent": 7, "seed": 1}),
    ],
)
def test_duration_and_number_of_operations_override_each_other(
    levels: list[Mapping[str, Any]], left: dict[str, Any]
) -> None:
    assert merge(levels) == {**left, "thresholds": ()}


def test_duration_and_number_of_operations_in_one_source_are_refused() -> None:
    with pytest.raises(SettingError, match=r"duration=5 and operations_per_agent=7: give one or the other"):
        check_source({"duration": 5.0, "operations_per_agent": 7})


def test_a_shortest_delay_above_the_longest_is_refused_also_where_one_is_a_default() -> None:
    with pytest.raises(SettingError, match=r"min_delay=0\.3: must not be above max_delay=0\.2"):
        check_merged({"min_delay": 0.3, "max_delay": 0.2})
    with pytest.raises(SettingError, match=r"min_delay=0\.3: must not be above max_delay=0\.15"):
        check_merged({"min_delay": 0.3})


def test_checked_values_are_normalised() -> None:
    checked = check_all({"agents": ["A"], "duration": "2m", "failure_prob": 1, "expected_errors": KeyError})
    assert checked == {"agents": ("A",), "duration": 120.0, "failure_prob": 1.0, "expected_errors": (KeyError,)}


def test_the_default_agents_are_the_seed_documents() -> None:
    assert BY_NAME["agents"].default == DEFAULT_AGENTS
    assert DEFAULT_AGENTS == ("StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D")


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_probability_is_a_number_from_0_to_1_and_nothing_else(value: float) -> None:
    if 0 <= value <= 1:
        assert BY_NAME["failure_prob"].check(value) == value
    else:
        with pytest.raises(SettingError, match=r"^failure_prob=.*: must be a number from 0 to 1$"):
            BY_NAME["failure_prob"].check(value)


@settings(deadline=None)
@given(
    st.sampled_from([setting for setting in SETTINGS if setting.name not in ("gate", "per_agent")]),
    st.one_of(
        st.text(),
        st.binary(),
        st.dictionaries(st.text(), st.text()),
        st.lists(st.integers()),
        st.complex_numbers(),
    ),
)
def test_whatever_is_given_a_refusal_is_one_line_with_the_settings_name(setting: Any, value: Any) -> None:
    try:
        setting.check(value)
    except SettingError as error:
        message = str(error)
    else:
        return
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{setting.name}=")
