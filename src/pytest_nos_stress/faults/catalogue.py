"""What can go wrong, by name: kinds of missing data, faults of calls, and brokers' profiles of these.

The kinds of missing data are those seen in published feeds, the faults of calls those that brokers document;
names of faults follow ccxt's split of what the network does from what the exchange says. Nobody publishes how
often they occur: the weights are stress settings, chosen so that a few hundred operations meet each kind, and
relative to each other as far as documentation allows. How often *anything* goes wrong is for
``missing_data_prob`` and ``failure_prob`` to say.

A value that leaves ``check_missing_data`` or ``check_faults`` is valid, and prints as what makes it.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.validation import LONGEST_SECONDS, InvalidValue
from pytest_nos_stress._internal.validation import seconds as seconds_of

Parameters = Mapping[str, Any]

MISSING_DATA: Final[Mapping[str, Parameters]] = {
    "unavailable": {},
    "gap": {"length": (5, 20)},
    "silence": {"median": 0.1, "p99": 0.8, "most": 10.0},
    "stale": {"age": (5.0, 30.0)},
    "disconnect": {"lasts": (1.0, 30.0)},
    "undefined": {},
    "bad_timestamp": {"skew": 1.0},
    "duplicate": {"length": (1, 5)},
    "crossed": {"ticks": (1, 5)},
    "outlier": {"size": (0.1, 0.5)},
    "halt": {"lasts": (15.0, 300.0)},
    "missing_bar": {"share": 0.2},
}
"""Kinds of missing data and their parameters; times are in seconds of the run's clock."""

_PROFILE: Final = "profile"
_ANSWER: Final = {"status": None, "code": None}
CALL_FAULTS: Final[Mapping[str, Parameters]] = {
    "lost_request": {},
    "lost_reply": {},
    "late_execution": {"timeout": 1.0, "delay": (0.5, 3.0)},
    "unknown_state": {"executed": 0.5, "delay": (1.0, 3.0), **_ANSWER},
    "overload": {"burst": 5.0, **_ANSWER},
    "reject": _ANSWER,
    "clock": _ANSWER,
    "lost_fill": {},
    "reject_but_filled": _ANSWER,
    "late_status": {"delay": (0.15, 0.25)},
    "duplicate_ack": {},
}
"""Faults of single calls, drawn for each, and their parameters; times are in seconds."""

STATEFUL_FAULTS: Final[Mapping[str, Parameters]] = {
    "rate_limit": {"limit": 6000, "per": 60.0, "tolerated": 10, "ban": 120.0, **_ANSWER},
    "maintenance": {"at": 60.0, "lasts": 10.0, **_ANSWER},
}
"""Faults that all calls share, which follow from time and from the calls before, and are not drawn."""

PROFILES: Final[Mapping[str, Parameters]] = {
    "binance": {
        "rate_limit": {"limit": 6000, "per": 60.0, "tolerated": 10, "ban": 120.0, "code": -1003},
        "unknown_state": {"weight": 3.0, "status": 503, "code": -1007},
        "late_status": 3.0,
        "reject": {"weight": 1.0, "status": 400, "code": -2010},
        "lost_request": 1.0,
        "lost_reply": 1.0,
        "late_execution": 1.0,
        "overload": {"weight": 0.5, "status": 503, "code": -1008},
        "lost_fill": 0.5,
        "duplicate_ack": 0.5,
        "reject_but_filled": {"weight": 0.2, "status": 400, "code": -1013},
        "clock": {"weight": 0.1, "status": 400, "code": -1021},
    },
    "alpaca": {
        "rate_limit": {"limit": 200, "per": 60.0, "tolerated": None},
        "unknown_state": {"weight": 3.0, "status": 504},
        "late_status": 3.0,
        "reject": {"weight": 2.0, "status": 422, "code": 42210000},
        "lost_request": 1.0,
        "lost_reply": 1.0,
        "overload": {"weight": 0.5, "status": 503},
        "lost_fill": 0.5,
        "duplicate_ack": 0.5,
    },
    "ib": {
        "rate_limit": {"limit": 50, "per": 1.0, "tolerated": 3, "ban": 10.0, "code": 100},
        "maintenance": {"at": 60.0, "lasts": 10.0, "code": 1100},
        "unknown_state": {"weight": 2.0, "code": 1100},
        "late_status": 4.0,
        "late_execution": 2.0,
        "reject": {"weight": 1.0, "code": 201},
        "lost_reply": 1.0,
        "lost_fill": 0.5,
        "duplicate_ack": 1.0,
        "reject_but_filled": {"weight": 0.2, "code": 202},
    },
}
"""Brokers: weights of faults with the broker's codes, and its limits.

Sources: Binance Spot API documentation (error codes; 6,000 request weight a minute; 418 after ignored 429s),
Alpaca (200 requests a minute), Interactive Brokers TWS API (50 messages a second; error 1100 at the daily reset).
"""


class Weighted(NamedTuple):
    """A fault that is drawn: its name, its weight among the others, its parameters."""

    name: str
    weight: float
    parameters: Parameters


def check_missing_data(value: Any) -> FrozenDict | None:
    """The kinds of missing data with their weights. Raises ``Refused`` or ``ValueError``."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {value: 1}
    options = FrozenDict(_builtin(_mapping(value)))
    if not options:
        raise InvalidValue("there are no kinds")
    _check_kinds(options, MISSING_DATA, {})
    _check_weights(options, MISSING_DATA)
    return options


def check_faults(value: Any) -> str | FrozenDict | None:
    """A profile's name, or faults with their weights. Raises ``Refused`` or ``ValueError``."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in PROFILES and value not in CALL_FAULTS:
            _refuse_name(value, PROFILES, "profile")
        return value if value in PROFILES else FrozenDict({value: 1})
    options = FrozenDict(_builtin(_with_profile(_mapping(value))))
    if not options:
        raise InvalidValue("there are no faults")
    base = options.get(_PROFILE)
    if base is not None and base not in PROFILES:
        _refuse_name(base, PROFILES, "profile")
    _check_kinds(_without(options, (_PROFILE,)), CALL_FAULTS, STATEFUL_FAULTS)
    _check_weights(_named(options), CALL_FAULTS)
    return options


def missing_data(value: FrozenDict | None) -> tuple[Weighted, ...]:
    """The kinds a setting's value stands for."""
    return _weighted({"unavailable": 1} if value is None else value, MISSING_DATA)


def call_faults(value: str | FrozenDict | None) -> tuple[Weighted, ...]:
    """The drawn faults a setting's value stands for; none where there is no value."""
    return _weighted(_named(value), CALL_FAULTS)


def stateful_faults(value: str | FrozenDict | None) -> dict[str, Parameters]:
    """The faults all calls share that a setting's value stands for."""
    return {
        name: _complete(STATEFUL_FAULTS[name], given if isinstance(given, Mapping) else {})
        for name, given in _named(value).items()
        if name in STATEFUL_FAULTS and given is not False
    }


def _named(value: str | FrozenDict | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return PROFILES[value]
    base = PROFILES.get(value.get(_PROFILE, ""), {})
    given = _without(value, (_PROFILE,))
    return {**base, **{name: _merged(base.get(name), one) for name, one in given.items()}}


def _merged(base: Any, given: Any) -> Any:
    """What is given of a fault in place of what the profile says of it; the rest is the profile's."""
    if not isinstance(base, Mapping) or given is False:
        return given
    if isinstance(given, Mapping):
        return {**base, **given}
    return base if given is True else {**base, "weight": given}


def _weighted(named: Mapping[str, Any], known: Mapping[str, Parameters]) -> tuple[Weighted, ...]:
    """In the order of the catalogue: how a mapping is ordered decides nothing."""
    found = []
    for name in known:
        given = named.get(name, 0)
        if weight := _weight(given):
            own = given if isinstance(given, Mapping) else {}
            found.append(Weighted(name, weight, _complete(known[name], own)))
    return tuple(found)


def _with_profile(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A profile that is named among the faults (``binance,reject=0`` on a command line) is one to begin with."""
    name = next((name for name in value if name in PROFILES), None)
    if name is not None and value[name] != 1:
        raise InvalidValue(f"{name!r} is a profile, which has no weight")
    return value if name is None else {_PROFILE: name, **_without(value, (name,))}


def _complete(defaults: Parameters, given: Parameters) -> Parameters:
    return {name: _like(default, given.get(name, default)) for name, default in defaults.items()}


def _without(named: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: one for name, one in named.items() if name not in names}


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(value)
    return value


def _builtin(value: Any) -> Any:
    """Numbers of other libraries as Python's own, which JSON knows."""
    if isinstance(value, Mapping):
        return {name: _builtin(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(_builtin, value))
    if isinstance(value, (bool, int, float)) or not isinstance(value, Number):
        return value
    return operator.index(value) if hasattr(value, "__index__") else float(value)  # type: ignore[arg-type]


def _check_kinds(
    given: Mapping[str, Any], drawn: Mapping[str, Parameters], shared: Mapping[str, Parameters]
) -> None:
    for name, value in given.items():
        if name in shared:
            _check_state(name, value, shared[name])
        elif name in drawn:
            _check_drawn(name, value, drawn[name])
        else:
            _refuse_name(name, (*drawn, *shared), "kind")


def _check_weights(named: Mapping[str, Any], drawn: Mapping[str, Parameters]) -> None:
    weights = [_weight(named[name]) for name in named if name in drawn]
    if weights and not any(weights):
        raise InvalidValue("all weights are 0")


def _weight(value: Any) -> float:
    return float(value.get("weight", 1) if isinstance(value, Mapping) else value)


def _check_drawn(name: str, value: Any, known: Parameters) -> None:
    parameters = dict(value) if isinstance(value, Mapping) else {"weight": value}
    weight = parameters.pop("weight", 1)
    if isinstance(weight, (bool, str)) or not _holds(lambda: 0 <= float(weight) < math.inf):
        raise InvalidValue(f"the weight of {name!r} is {weight!r}, not a number from 0 up")
    _check_parameters(name, parameters, known)


def _check_state(name: str, value: Any, known: Parameters) -> None:
    if isinstance(value, Mapping):
        _check_parameters(name, value, known)
    elif not isinstance(value, bool):
        raise InvalidValue(f"{name!r} is {value!r}, not True, False or a mapping of {', '.join(known)}")


def _check_parameters(name: str, given: Mapping[str, Any], known: Parameters) -> None:
    for parameter, value in given.items():
        if parameter not in known:
            allowed = ", ".join(known) or "none"
            raise InvalidValue(f"{name!r} has no parameter {parameter!r}; there are: {allowed}")
        label = f"{parameter!r} of {name!r}"
        if parameter not in _ANSWER:
            _check_parameter(label, value, known[parameter], parameter)
        elif value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
            raise InvalidValue(f"{label} is {value!r}, not a whole number or a text")


_SHARES: Final = ("executed", "share")
_MOST_REQUESTS: Final = 1e12
_LEAST: Final = {"burst": 1.0, "limit": 1.0, "per": 1e-6}


def _check_parameter(label: str, value: Any, default: Any, parameter: str) -> None:
    if value is None and parameter == "tolerated":
        return
    if isinstance(default, tuple):
        pair = value if isinstance(value, tuple) else (value, value)
        if len(pair) != 2 or not _holds(
            lambda: 0 <= seconds_of(pair[0]) <= seconds_of(pair[1]) <= LONGEST_SECONDS
        ):
            raise InvalidValue(f"{label} is {value!r}, not a number from 0 up or a pair of them in order")
    elif parameter in _SHARES:
        if not _holds(lambda: 0 <= seconds_of(value) <= 1):
            raise InvalidValue(f"{label} is {value!r}, not from 0 to 1")
    else:
        least = _LEAST.get(parameter, 0.0)
        most = _MOST_REQUESTS if isinstance(default, int) else LONGEST_SECONDS
        if not _holds(lambda: least <= seconds_of(value) <= most):
            raise InvalidValue(f"{label} is {value!r}, not a number from {least:g} up, at most {most:g}")
        if isinstance(default, int) and int(float(value)) != float(value):
            raise InvalidValue(f"{label} is {value!r}, not a whole number")


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (TypeError, ValueError, KeyError):
        return False


def _like(default: Any, value: Any) -> Any:
    """A parameter in the form of its default: pairs for ranges, numbers for text with a unit."""
    if isinstance(default, tuple):
        pair = value if isinstance(value, tuple) else (value, value)
        return tuple(seconds_of(one) for one in pair)
    if value is None or default is None:
        return value
    return int(float(value)) if isinstance(default, int) else seconds_of(value)


def _refuse_name(name: Any, known: Iterable[str], what: str) -> None:
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InvalidValue(f"no such {what} {name!r}; {hint}there are {', '.join(names)}")
