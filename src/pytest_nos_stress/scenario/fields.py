"""Types of a scenario's fields, and ``option``, which declares a field that is a setting.

A setting of the scenario is one ``option(...)`` in ``Scenario`` and one row of ``config.options``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, field
from typing import Any, Final, NamedTuple, TypeVar

from pytest_nos_stress import engines
from pytest_nos_stress._internal.parsing import parse_options, split_names
from pytest_nos_stress._internal.reading import read_literal
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import (
    InvalidPart,
    InvalidValue,
    OptionType,
    count_from_one,
    distinct_names,
    finite_number,
    one_of,
    optional,
)
from pytest_nos_stress.errors import SettingError

DEFAULT_AGENTS = ("StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D")
DEFAULT_TASKS = ("buy", "sell", "hedge", "rebalance")
FAILURE_MODES = ("lost_request", "lost_reply", "mixed")
MOST_TASKS = 10_000
MOST_AGENTS = 1_000_000

_Value = TypeVar("_Value")
_OPTION: Final = "option"
_AS_FIELD: Final = object()


class FieldOption(NamedTuple):
    """Setting behind a field of ``Scenario``: the type of its values, and its default as a setting."""

    type: OptionType
    default: Any


def option(type: OptionType, default: _Value, *, setting_default: Any = _AS_FIELD) -> _Value:
    """Declare a field of ``Scenario`` that is a setting.

    ``default`` is the default of the field. ``setting_default`` is the default of the setting, if it differs.
    """
    setting = FieldOption(type, default if setting_default is _AS_FIELD else setting_default)
    return field(default=default, metadata={_OPTION: setting})


def options_of(fields: Iterable[Field[Any]]) -> dict[str, FieldOption]:
    """Return the settings among the fields of a dataclass, by name, in the order of the fields."""
    return {field.name: field.metadata[_OPTION] for field in fields if _OPTION in field.metadata}


def _agents(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        raise ValueError(value)
    if hasattr(value, "__index__"):
        count = count_from_one(value)
        if count > MOST_AGENTS:
            raise ValueError(value)
        return tuple(f"Agent_{number}" for number in range(1, count + 1))
    return distinct_names(value, "agent")


def _tasks(value: Any) -> dict[str, float]:
    """Return the tasks with their weights, in order."""
    names = distinct_names(value, "task")
    if len(names) > MOST_TASKS:
        raise InvalidValue(f"{len(names)} tasks are more than {MOST_TASKS}")
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, 1.0)
    weights = {name: finite_number(value[name]) for name in names}
    for name, weight in weights.items():
        if weight <= 0:
            raise InvalidValue(f"task {name!r} has weight {weight:g}, which is not above 0")
    return weights


def _missing_data(value: Any) -> Any:
    from pytest_nos_stress.faults.settings import check_missing_data

    return check_missing_data(value)


def _faults(value: Any) -> Any:
    from pytest_nos_stress.faults.settings import check_faults

    return check_faults(value)


def _fault_windows(value: Any) -> Any:
    from pytest_nos_stress.faults.windows import windows_of

    return windows_of(value)


def _retries(value: Any) -> Any:
    from pytest_nos_stress.faults.retries import check_retries

    return check_retries(value)


def _network(value: Any) -> Any:
    from pytest_nos_stress.faults.network import Network

    try:
        return Network.of(value)
    except SettingError as error:
        reason = str(error).removeprefix(f"network={safe_repr(value)}: ").removeprefix("network: ")
        raise InvalidPart(reason) from None


def _market(value: Any) -> Any:
    from pytest_nos_stress.market.specification import check_market

    return check_market(value)


def parse_agents(text: Any) -> Any:
    if not isinstance(text, (str, list, tuple)):
        return text
    names = split_names(text)
    if len(names) == 1 and names[0].lstrip("+-").isdecimal():
        return int(names[0])
    return names


def parse_tasks(text: Any) -> Any:
    if isinstance(text, Mapping):
        return text
    joined = text if isinstance(text, str) else "".join(text)
    if joined.strip().startswith("{"):  # pytest turns an inline table of TOML into the repr of a dict
        return read_literal(joined.strip())
    names = split_names(text)
    if not any("=" in name for name in names):
        return names
    pairs = [name.partition("=") for name in names]
    if len({name for name, _, _ in pairs}) < len(pairs):
        return [name for name, _, _ in pairs]
    return {name.strip(): float(weight or 1) for name, _, weight in pairs}


def parse_fault_windows(text: Any) -> Any:
    from pytest_nos_stress.faults.windows import read_windows

    return read_windows(text)


def parse_network(text: Any) -> Any:
    """Parse an inline table of TOML, which pytest turns into the repr of a dict. ``Network`` parses other text."""
    return parse_options(text) if isinstance(text, str) and text.strip().startswith("{") else text


def parse_retries(text: Any) -> Any:
    options = parse_options(text)
    return int(options) if isinstance(options, str) else options


AGENTS = OptionType("a count from 1 to 1000000, or a list of unique names", _agents, parse_agents)
TASKS = OptionType("a list of unique names, or names with weights above 0", _tasks, parse_tasks)
MISSING_DATA = OptionType(
    "names of kinds with weights, such as {'stale': 3, 'gap': 1}", optional(_missing_data), parse_options
)
FAULTS = OptionType(
    "a broker's name, or names of faults with weights, such as {'lost_reply': 1}", optional(_faults), parse_options
)
FAULT_WINDOWS = OptionType(
    "a list of (from, to) in seconds or {'after': event, 'lasts': seconds}",
    optional(_fault_windows),
    parse_fault_windows,
)
RETRIES = OptionType(
    "a number from 0 to 1000, or {'times': 3, 'backoff': 0.1, 'factor': 2}", _retries, parse_retries
)
NETWORK = OptionType("a profile's name or a mapping of parameters", optional(_network), parse_network)
MARKET = OptionType("the name of a model or event, or a mapping of parameters", optional(_market), parse_options)
ENGINE = OptionType(engines.names_as_text(), lambda value: one_of((*engines.ENGINES, *engines.RESERVED))(value))
FAILURE_MODE = OptionType(" or ".join(FAILURE_MODES), one_of(FAILURE_MODES))
