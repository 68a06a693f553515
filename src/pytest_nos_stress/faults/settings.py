"""Values of the settings ``missing_data`` and ``faults``: their validation, and the faults that they select.

Guarantee: ``check_missing_data`` and ``check_faults`` return only valid values. The ``repr`` of such a value is
Python code from which the setting makes an equal value.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.validation import InvalidValue

from .catalogue import (
    PROFILES,
    CallFault,
    DataFault,
    Fault,
    StatefulFault,
    call_faults,
    data_faults,
    stateful_faults,
)
from .parameters import Parameters, holds

_PROFILE: Final = "profile"


class WeightedFault(NamedTuple):
    """A fault that can be drawn: its row, its weight relative to the other faults, and all its parameters."""

    fault: Fault
    weight: float
    parameters: Parameters


def check_missing_data(value: Any) -> FrozenDict | None:
    """Return the kinds of missing data with their weights. Raises ``InvalidValue`` or ``ValueError``."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {value: 1}
    options = FrozenDict(_builtin(_mapping(value)))
    if not options:
        raise InvalidValue("there are no kinds")
    known = data_faults()
    _check_faults(options, known, {})
    _check_weights(options, known)
    return options


def check_faults(value: Any) -> str | FrozenDict | None:
    """Return a profile's name, or faults with their weights. Raises ``InvalidValue`` or ``ValueError``."""
    if value is None:
        return None
    drawn = call_faults()
    if isinstance(value, str):
        if value not in PROFILES and value not in drawn:
            _refuse_name(value, PROFILES, "profile")
        return value if value in PROFILES else FrozenDict({value: 1})
    options = FrozenDict(_builtin(_with_profile(_mapping(value))))
    if not options:
        raise InvalidValue("there are no faults")
    base = options.get(_PROFILE)
    if base is not None and base not in PROFILES:
        _refuse_name(base, PROFILES, "profile")
    _check_faults(_without_profile(options), drawn, stateful_faults())
    _check_weights(_with_profile_values(options), drawn)
    return options


def drawn_data_faults(value: FrozenDict | None) -> tuple[WeightedFault, ...]:
    """Return the kinds of missing data that a checked value of ``missing_data`` selects."""
    return _weighted({"unavailable": 1} if value is None else value, data_faults())


def drawn_call_faults(value: str | FrozenDict | None) -> tuple[WeightedFault, ...]:
    """Return the faults of single calls that a checked value of ``faults`` selects; none for None."""
    return _weighted(_with_profile_values(value), call_faults())


def planned_states(value: str | FrozenDict | None) -> dict[str, Parameters]:
    """Return the faults shared by all calls that a checked value of ``faults`` selects, with their parameters."""
    selected, known = _with_profile_values(value), stateful_faults()
    return {
        name: known[name].complete(parameters if isinstance(parameters, Mapping) else {})
        for name, parameters in selected.items()
        if name in known and parameters is not False
    }


def _with_profile_values(value: str | FrozenDict | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return PROFILES[value]
    base = PROFILES.get(value.get(_PROFILE, ""), {})
    changes = _without_profile(value)
    return {**base, **{name: _merged(base.get(name), change) for name, change in changes.items()}}


def _merged(base: Any, change: Any) -> Any:
    """Return a profile's values for a fault, overridden by the user's changes."""
    if not isinstance(base, Mapping) or change is False:
        return change
    if isinstance(change, Mapping):
        return {**base, **change}
    return base if change is True else {**base, "weight": change}


def _weighted(named: Mapping[str, Any], known: Mapping[str, Fault]) -> tuple[WeightedFault, ...]:
    """Return the selected faults with weights above 0, in the order of the catalogue."""
    # The order of a mapping must not affect the plan.
    weighted = []
    for name, fault in known.items():
        value = named.get(name, 0)
        if weight := _weight(value):
            parameters = value if isinstance(value, Mapping) else {}
            weighted.append(WeightedFault(fault, weight, fault.complete(parameters)))
    return tuple(weighted)


def _with_profile(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the value with a profile among its names (``binance,reject=0``) moved to the key ``profile``."""
    profile = next((name for name in value if name in PROFILES), None)
    if profile is None:
        return value
    if value[profile] != 1:
        raise InvalidValue(f"{profile!r} is a profile and cannot have a weight")
    return {_PROFILE: profile, **{name: options for name, options in value.items() if name != profile}}


def _without_profile(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != _PROFILE}


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(value)
    return value


def _builtin(value: Any) -> Any:
    """Return the value with numbers of other libraries, such as NumPy's, as Python's own, which JSON can hold."""
    if isinstance(value, Mapping):
        return {name: _builtin(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(_builtin, value))
    if isinstance(value, (bool, int, float)) or not isinstance(value, Number):
        return value
    return operator.index(value) if hasattr(value, "__index__") else float(value)  # type: ignore[arg-type]


def _check_faults(
    options: Mapping[str, Any],
    drawn: Mapping[str, DataFault] | Mapping[str, CallFault],
    shared: Mapping[str, StatefulFault],
) -> None:
    for name, value in options.items():
        if name in shared:
            _check_state(name, value, shared[name])
        elif name in drawn:
            _check_drawn(name, value, drawn[name])
        else:
            _refuse_name(name, (*drawn, *shared), "kind")


def _check_weights(named: Mapping[str, Any], drawn: Mapping[str, Fault]) -> None:
    weights = [_weight(value) for name, value in named.items() if name in drawn]
    if weights and not any(weights):
        raise InvalidValue("all weights are 0")


def _weight(value: Any) -> float:
    return float(value.get("weight", 1) if isinstance(value, Mapping) else value)


def _check_drawn(name: str, value: Any, fault: Fault) -> None:
    parameters = dict(value) if isinstance(value, Mapping) else {"weight": value}
    weight = parameters.pop("weight", 1)
    if isinstance(weight, (bool, str)) or not holds(lambda: 0 <= float(weight) < math.inf):
        raise InvalidValue(f"the weight of {name!r} is {weight!r}, not a number from 0 up")
    _check_parameters(name, parameters, fault)


def _check_state(name: str, value: Any, fault: Fault) -> None:
    if isinstance(value, Mapping):
        _check_parameters(name, value, fault)
    elif not isinstance(value, bool):
        allowed = ", ".join(fault.parameters)
        raise InvalidValue(f"{name!r} is {value!r}, not True, False or a mapping of {allowed}")


def _check_parameters(name: str, values: Mapping[str, Any], fault: Fault) -> None:
    for parameter, value in values.items():
        if parameter not in fault.parameters:
            allowed = ", ".join(fault.parameters) or "none"
            raise InvalidValue(f"{name!r} has no parameter {parameter!r}; its parameters: {allowed}")
        fault.parameters[parameter].check(f"{parameter!r} of {name!r}", value)


def _refuse_name(name: Any, known: Iterable[str], noun: str) -> None:
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InvalidValue(f"no such {noun} {name!r}{hint}; choose from {', '.join(names)}")
