"""Option types of the settings that a scenario does not decide.

A pytest session without settings and stress tests never imports this module.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from pytest_nos_stress._internal.parsing import parse_lines, parse_names, parse_switch
from pytest_nos_stress._internal.validation import (
    ALLOWED_FILE_NAME,
    InvalidValue,
    OptionType,
    boolean,
    callable_value,
    file_name,
    non_empty_name,
    one_of,
    optional,
    path_text,
    some_of,
)
from pytest_nos_stress._internal.validation import COUNT_OR_NONE as COUNT_OR_NONE
from pytest_nos_stress._internal.validation import SWITCH as SWITCH
from pytest_nos_stress.reporting import outputs

from .parsing import parse_scenario

LIVE_VIEWS = ("auto", "plain", "off")


def _expressions(value: Any) -> tuple[Any, ...]:
    """Return a tuple of threshold expressions. Their text is parsed later, when the run is set up."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Mapping)):
        raise InvalidValue("expected a list, got a single value")
    expressions = tuple(value)
    if not all(isinstance(expression, str) or hasattr(expression, "metric") for expression in expressions):
        raise ValueError(value)
    return expressions


def _exception_types(value: Any) -> tuple[type[BaseException], ...]:
    types = (value,) if isinstance(value, type) else tuple(value)
    if not all(isinstance(error, type) and issubclass(error, BaseException) for error in types):
        raise ValueError(value)
    return types


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


def _outputs(group: str) -> OptionType:
    """Return the type of a selection from a group of outputs. It refuses an output whose package is missing."""
    names = [output.name for output in outputs.in_group(group)]
    select = some_of(names)

    def check(value: Any) -> tuple[str, ...]:
        selected = select(value)
        for output in outputs.selected(group, selected):
            for module in output.modules:
                _require(module, output.extra)
        return selected

    return OptionType(f"{', '.join(names)}, several of them, or none", check, parse_names)


def _compared(value: Any) -> str:
    name = file_name(value)
    _require("scipy", "compare")
    return name


def _otel(value: Any) -> bool:
    if boolean(value):
        _require("opentelemetry.sdk", "otel")
    return bool(value)


def _require(module: str, extra: str) -> None:
    """Raise ``InvalidValue`` if a module is not installed. Does not import the module."""
    try:
        is_installed = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        raise InvalidValue(f"needs a package that is not installed: pip install 'pytest-nos-stress[{extra}]'")


def _clients(value: Any) -> tuple[Any, ...]:
    clients = tuple(value)
    if not clients:
        return ()
    from pytest_nos_stress.faults.clients import interceptor_of

    try:
        [interceptor_of(client) for client in clients]
    except AttributeError:
        raise ValueError(value) from None
    return clients


def _proxies(value: Any) -> tuple[Any, ...]:
    proxies = tuple(value)
    if not proxies:
        return ()
    from pytest_nos_stress.faults.proxy import Proxy

    if not all(isinstance(proxy, Proxy) for proxy in proxies):
        raise ValueError(value)
    return proxies


DIRECTORY = OptionType("the path of a directory", path_text)
EXPRESSIONS = OptionType("a list of expressions such as 'failure_rate < 10%'", _expressions, parse_lines)
EXCEPTION_TYPES = OptionType("exception types", _exception_types)
AGENT_CONTEXT = OptionType(
    "a function of the agent's name that returns a context manager", optional(callable_value)
)
SCENARIO = OptionType("a Scenario", _scenario, parse_scenario)
CHECKS = OptionType("a list of functions", _checks)
CLIENTS = OptionType("a list of clients wrapped by flaky(client)", _clients)
PROXIES = OptionType("a list of proxies", _proxies)
REPORTS = _outputs("report")
RECORD_FORMATS = _outputs("records")
BASELINE_NAME = OptionType(ALLOWED_FILE_NAME, optional(file_name))
COMPARED = OptionType(BASELINE_NAME.allowed, optional(_compared))
OTEL = OptionType("True or False", _otel, parse_switch)
LABEL = OptionType("a name", non_empty_name)
LIVE = OptionType("auto, plain or off", one_of(LIVE_VIEWS))
FILE = OptionType("the path of a file", optional(path_text))
