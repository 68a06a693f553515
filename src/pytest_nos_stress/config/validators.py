"""The kinds of values settings take: how text becomes a value, and which values hold.

A session that sets nothing and runs no stress test never imports this.
"""

from __future__ import annotations

import importlib.util
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import parsing

ENGINES = ("threads", "asyncio", "virtual", "explore")
FAILURE_MODES = ("lost_request", "lost_reply", "mixed")
REPORTS_THERE_ARE = ("html", "svg", "png")
RECORD_FORMATS_THERE_ARE = ("csv", "jsonl", "parquet")
LIVE_VIEWS = ("auto", "plain", "off")
MOST_TASKS = 10_000
LONGEST_NUMBER = 4096
MOST_AGENTS = 1_000_000
LONGEST_SECONDS = 366 * 86_400.0
SECONDS_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Refused(ValueError):
    """Why a check refuses a value, where the kind's own words do not say it."""


class Kind:
    """What values a setting takes: how text becomes a value, which values hold, and the words for both."""

    __slots__ = ("allowed", "check", "parse")

    def __init__(
        self,
        allowed: str,
        check: Callable[[Any], Any],
        parse: Callable[[Any], Any] = lambda text: text,
    ) -> None:
        self.allowed = allowed
        self.check = check
        self.parse = parse


def _number(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise ValueError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    number = operator.index(value)
    if number.bit_length() > LONGEST_NUMBER:
        raise ValueError(value)
    return number


def _probability(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def seconds(value: Any) -> float:
    """Seconds of a number or of text with a unit (``"500ms"``, ``"2m"``). Raises ``ValueError``."""
    if not isinstance(value, str):
        return _number(value)
    text = value.strip()
    number = text.rstrip("nusmh")
    return _number(float(number)) * SECONDS_PER_UNIT[text[len(number) :].strip() or "s"]


def _seconds_from_zero(value: Any) -> float:
    try:
        number = seconds(value)
    except KeyError:
        raise ValueError(value) from None
    if not 0 <= number <= LONGEST_SECONDS:
        raise ValueError(value)
    return number


def _seconds_above_zero(value: Any) -> float:
    number = _seconds_from_zero(value)
    if number == 0:
        raise ValueError(value)
    return number


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _count(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError(value)
    return number


def _one_of(names: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(value)
        return str(value)

    return check


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    if not value.strip():
        raise Refused("a name is empty")
    return str.__str__(value)


def _names(values: Iterable[Any], what: str) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)):
        raise Refused("this is one string")
    names = tuple(_name(value) for value in values)
    if not names:
        raise Refused(f"there are no {what}s")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"{what} {twice!r} is there twice")
    return names


def _agents(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        raise ValueError(value)
    if hasattr(value, "__index__"):
        count = _count(value)
        if count > MOST_AGENTS:
            raise ValueError(value)
        return tuple(f"Agent_{number}" for number in range(1, count + 1))
    return _names(value, "agent")


def _tasks(value: Any) -> dict[str, float]:
    """Tasks with their weights, in order."""
    names = _names(value, "task")
    if len(names) > MOST_TASKS:
        raise Refused(f"{len(names)} tasks")
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, 1.0)
    weights = {name: _number(value[name]) for name in names}
    for name, weight in weights.items():
        if weight <= 0:
            raise Refused(f"the weight of {name!r} is {weight:g}, not above 0")
    return weights


def _path(value: Any) -> str:
    if isinstance(value, bytes) or not (isinstance(value, str) or hasattr(value, "__fspath__")):
        raise ValueError(value)
    path = value if isinstance(value, str) else value.__fspath__()
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError(value)
    return path


def _expressions(value: Any) -> tuple[Any, ...]:
    """Thresholds are parsed where they are judged; here they only have to be a list of them."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Mapping)):
        raise Refused("this is one value")
    expressions = tuple(value)
    if not all(isinstance(one, str) or hasattr(one, "metric") for one in expressions):
        raise ValueError(value)
    return expressions


def _exception_types(value: Any) -> tuple[type[BaseException], ...]:
    types = (value,) if isinstance(value, type) else tuple(value)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
        raise ValueError(value)
    return types


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError(value)
    return value


def _scenario(value: Any) -> Any:
    from pytest_nos_stress.scenario.scenario import Scenario

    if value is not None and not isinstance(value, Scenario):
        raise ValueError(value)
    return value


def _checks(value: Any) -> tuple[Any, ...]:
    checks = (value,) if callable(value) else tuple(value)
    if not all(map(callable, checks)):
        raise ValueError(value)
    return checks


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _some_of(names: Sequence[str]) -> Callable[[Any], tuple[str, ...]]:
    """Names out of these, in the order of these; ``none`` alone is none of them."""

    def check(value: Any) -> tuple[str, ...]:
        given = {value} if isinstance(value, str) else set(value or ())
        if not given - {"none"}:
            return ()
        if not given <= set(names):
            raise ValueError(value)
        return tuple(name for name in names if name in given)

    return check


def _record_formats(value: Any) -> tuple[str, ...]:
    formats = _some_of(RECORD_FORMATS_THERE_ARE)(value)
    if "parquet" in formats:
        _require("pyarrow", "parquet")
    return formats


def _reports(value: Any) -> tuple[str, ...]:
    reports = _some_of(REPORTS_THERE_ARE)(value)
    if "svg" in reports or "png" in reports:
        _require("py_mini_racer", "pictures")
    if "png" in reports:
        _require("resvg_py", "pictures")
    return reports


def _compared(value: Any) -> str:
    name = _baseline_name(value)
    _require("scipy", "compare")
    return name


def _otel(value: Any) -> bool:
    if _flag(value):
        _require("opentelemetry.sdk", "otel")
    return bool(value)


def _require(module: str, extra: str) -> None:
    """Refuse a value for which a package is missing, without importing it."""
    try:
        is_there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise Refused(f"needs a package that is not installed: pip install 'pytest-nos-stress[{extra}]'")


def _baseline_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", value):
        raise ValueError(value)
    return str.__str__(value)


def _missing_data(value: Any) -> Any:
    from pytest_nos_stress.faults.catalogue import check_missing_data

    return check_missing_data(value)


def _faults(value: Any) -> Any:
    from pytest_nos_stress.faults.catalogue import check_faults

    return check_faults(value)


def _fault_windows(value: Any) -> Any:
    from pytest_nos_stress.faults.windows import windows_of

    return windows_of(value)


def _retries(value: Any) -> Any:
    from pytest_nos_stress.faults.retries import check_retries

    return check_retries(value)


def _network(value: Any) -> Any:
    from pytest_nos_stress.faults.network import Network

    return Network.of(value)


def _market(value: Any) -> Any:
    from pytest_nos_stress.market.specification import check_market

    return check_market(value)


def _clients(value: Any) -> tuple[Any, ...]:
    clients = tuple(value)
    if not clients:
        return ()
    from pytest_nos_stress.faults.clients import wire_of

    try:
        [wire_of(one) for one in clients]
    except AttributeError:
        raise ValueError(value) from None
    return clients


def _proxies(value: Any) -> tuple[Any, ...]:
    proxies = tuple(value)
    if not proxies:
        return ()
    from pytest_nos_stress.faults.proxy import Proxy

    if not all(isinstance(one, Proxy) for one in proxies):
        raise ValueError(value)
    return proxies


PROBABILITY = Kind("a number from 0 to 1", _probability, parsing.read_number)
DELAY = Kind("seconds from 0 up, or text with a unit such as '50ms'", _seconds_from_zero)
SPAN = Kind("seconds above 0, or text with a unit such as '30s'", _seconds_above_zero)
SPAN_OR_NONE = Kind(SPAN.allowed, _optional(_seconds_above_zero))
AGENTS = Kind("a count from 1 to 1000000, or a list of names that differ", _agents, parsing.read_agents)
TASKS = Kind("a list of names that differ, or names with weights above 0", _tasks, parsing.read_tasks)
WHOLE = Kind("a whole number of at most 4096 bits", _optional(_whole), parsing.read_whole)
COUNT = Kind("a whole number from 1 up", _count, parsing.read_whole)
DIRECTORY = Kind("the path of a directory", _path)
EXPRESSIONS = Kind("a list of expressions such as 'failure_rate < 10%'", _expressions, parsing.read_lines)
EXCEPTION_TYPES = Kind("exception types", _exception_types)
AGENT_CONTEXT = Kind("a function of the agent's name that returns a context manager", _optional(_callable))
SWITCH = Kind("True or False", _flag, parsing.read_switch)
SCENARIO = Kind("a Scenario", _scenario, parsing.read_scenario)
CHECKS = Kind("a list of functions", _checks)
COUNT_OR_NONE = Kind(COUNT.allowed, _optional(_count))
MISSING_DATA = Kind(
    "names of kinds with weights, such as {'stale': 3, 'gap': 1}", _missing_data, parsing.read_options
)
FAULTS = Kind(
    "a broker's name, or names of faults with weights, such as {'lost_reply': 1}", _faults, parsing.read_options
)
FAULT_WINDOWS = Kind(
    "a list of (from, to) in seconds or {'after': event, 'lasts': seconds}",
    _fault_windows,
    parsing.read_fault_windows,
)
RETRIES = Kind("a number from 0 up, or {'times': 3, 'backoff': 0.1, 'factor': 2}", _retries, parsing.read_retries)
NETWORK = Kind("a profile's name or a mapping of parameters", _network, parsing.read_network)
CLIENTS = Kind("a list of what flaky(client) gives", _clients)
PROXIES = Kind("a list of proxies", _proxies)
MARKET = Kind("the name of a model or event, or a mapping of parameters", _market, parsing.read_options)
ENGINE = Kind("threads, asyncio or virtual", _one_of(ENGINES))
FAILURE_MODE = Kind(" or ".join(FAILURE_MODES), _one_of(FAILURE_MODES))
REPORTS = Kind("html, svg, png, several of them, or none", _reports, parsing.read_names)
RECORD_FORMATS = Kind("csv, jsonl, parquet, several of them, or none", _record_formats, parsing.read_names)
BASELINE_NAME = Kind(
    "a name of letters, digits, '.', '_' and '-' that does not begin with '.'", _optional(_baseline_name)
)
COMPARED = Kind(BASELINE_NAME.allowed, _optional(_compared))
OTEL = Kind("True or False", _otel, parsing.read_switch)
LABEL = Kind("a name", _name)
LIVE = Kind("auto, plain or off", _one_of(LIVE_VIEWS))
FILE = Kind("the path of a file", _optional(_path))
