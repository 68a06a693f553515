"""Scenario: everything that decides a run, as one value.

Two runs of the same scenario perform the same plan. A scenario is frozen, hashable, and validated when it is made
(each field by its option type). An equal scenario can be made from its ``repr``, which is Python code, or from its
JSON.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any, Final

from pytest_nos_stress import engines
from pytest_nos_stress._internal.frozen import to_json_types
from pytest_nos_stress._internal.reading import read_json
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import COUNT, DELAY, PROBABILITY, SPAN, SPAN_OR_NONE, SWITCH, WHOLE
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.mix import FaultMix, most_variants

from .fields import (
    AGENTS,
    DEFAULT_AGENTS,
    DEFAULT_TASKS,
    ENGINE,
    FAILURE_MODE,
    FAULT_WINDOWS,
    FAULTS,
    MARKET,
    MISSING_DATA,
    NETWORK,
    RETRIES,
    TASKS,
    FieldOption,
    option,
    options_of,
)
from .planned_operations import PlannedOperation, check_names, names_in, planned_operations
from .rules import check_length, check_together

VERSION: Final = 1
_MOST_PLANS: Final = 1 << 16


@dataclass(frozen=True, repr=False)
class Scenario:
    """Agents and their tasks, faults, load, network and market of a run, and its seed.

    ``agents`` is a count or a list of names. ``tasks`` is a list of names, or a mapping of names to weights above
    0. The scenario stores both as tuples. Delays, ``duration``, ``ramp``, ``warmup`` and ``operation_timeout`` are
    in seconds, or text with a unit. ``operations_per_agent`` is None if a ``duration`` is given.

    ``operations`` is an explicit list of operations, which replaces drawn operations. Its items are
    ``PlannedOperation`` or tuples of (agent, task, fault, delay); fault and delay are optional. Each agent
    performs its operations in the order of the list. In virtual time, operations that are due at the same instant
    are performed in the order of the list, too. ``agents`` and ``tasks`` are those of the list, unless they are
    also given.

    ``missing_data``, ``faults``, ``fault_windows``, ``retries``, ``network`` and ``market`` describe the
    environment of the target: see the settings of the same names.

    Raises ``SettingError`` (a ``ValueError``) for a value that is not allowed.
    """

    agents: Iterable[str] | int = option(AGENTS, DEFAULT_AGENTS)
    tasks: Iterable[str] | Mapping[str, float] = option(TASKS, DEFAULT_TASKS, setting_default=None)
    missing_data_prob: float = option(PROBABILITY, 0.2)
    failure_prob: float = option(PROBABILITY, 0.1)
    operations_per_agent: int | None = option(COUNT, None, setting_default=100)
    duration: float | None = option(SPAN_OR_NONE, None)
    ramp: float = option(DELAY, 0.0)
    warmup: float = option(DELAY, 0.0)
    min_delay: float = option(DELAY, 0.05)
    max_delay: float = option(DELAY, 0.15)
    failure_mode: str = option(FAILURE_MODE, "lost_request")
    missing_data: Any = option(MISSING_DATA, None)
    faults: Any = option(FAULTS, None)
    fault_windows: Any = option(FAULT_WINDOWS, None)
    retries: Any = option(RETRIES, 0)
    network: Any = option(NETWORK, None)
    market: Any = option(MARKET, None)
    seed: int = option(WHOLE, 0, setting_default=None)
    engine: str = option(ENGINE, engines.DEFAULT)
    own_threads: bool = option(SWITCH, True)
    operation_timeout: float = option(SPAN, 30.0)
    operations: Iterable[PlannedOperation | tuple[Any, ...]] | None = None
    weights: tuple[float, ...] | None = None
    """Weights of the tasks, in the order of the tasks. A mapping as ``tasks`` sets them, too."""
    agent_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    task_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    planned: tuple[PlannedOperation, ...] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        planned = None if self.operations is None else planned_operations(self.operations)
        values = {name: getattr(self, name) for name in SCENARIO_OPTIONS}
        if planned is not None:
            listed = names_in(planned)
            values |= {name: names for name, names in listed.items() if values[name] is _DEFAULTS[name]}
        if self.operations_per_agent is None:
            del values["operations_per_agent"]
        elif planned is not None:
            raise SettingError(
                f"operations_per_agent={self.operations_per_agent} and operations: give one or the other"
            )
        if self.weights is not None and not isinstance(self.tasks, Mapping):
            values["tasks"] = _weighted(self.tasks, self.weights)
        self._complete(
            {name: SCENARIO_OPTIONS[name].type.check(value, name) for name, value in values.items()}, planned
        )

    @classmethod
    def of_checked(cls, values: Mapping[str, Any]) -> Scenario:
        """Make a scenario from settings that their types have checked already.

        A missing setting has its default. Raises ``SettingError`` if the values conflict.
        """
        scenario = cls.__new__(cls)
        scenario._complete({**checked_defaults(), **values}, None)
        return scenario

    def with_seed(self, seed: int) -> Scenario:
        """Return a copy of the scenario with another seed. The seed is not checked."""
        scenario = copy.copy(self)
        object.__setattr__(scenario, "seed", seed)
        return scenario

    def _complete(self, values: dict[str, Any], planned: tuple[PlannedOperation, ...] | None) -> None:
        """Set all fields from checked values. ``operations_per_agent`` can be missing from them."""
        check_length(values)
        check_together(values)
        if values["seed"] is None:
            raise SettingError("seed=None: must be a whole number")
        weights: dict[str, float] = values["tasks"]
        if planned is not None:
            check_names(planned, values["agents"], list(weights))
            if values["duration"] is not None:
                raise SettingError(f"duration={values['duration']:g} and operations: give one or the other")
        elif values["duration"] is None:
            values.setdefault("operations_per_agent", SCENARIO_OPTIONS["operations_per_agent"].default)
        values.setdefault("operations_per_agent", None)
        values |= {
            "tasks": tuple(weights),
            "weights": tuple(weights.values()),
            "agent_names": values["agents"],
            "task_names": tuple(weights),
            "operations": planned,
            "planned": planned,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_number_of_plans()

    def _check_number_of_plans(self) -> None:
        tasks = len(self.task_names)
        if tasks * most_variants() <= _MOST_PLANS or tasks * self.fault_mix.count <= _MOST_PLANS:
            return
        most = _MOST_PLANS // self.fault_mix.count
        raise SettingError(f"tasks: {tasks} names; must be at most {most} with these faults")

    @cached_property
    def fault_mix(self) -> FaultMix:
        """Variants that can be planned for an operation: ordinary calls, missing data, faults of calls."""
        return FaultMix(
            self.missing_data_prob,
            self.failure_prob,
            self.failure_mode,
            self.missing_data,
            self.faults,
            [row.fault for row in self.planned or () if row.fault is not None],
            network_fails=self.network is not None and bool(self.network.loss or self.network.partitions),
        )

    @cached_property
    def positions_of(self) -> dict[str, list[int]]:
        """Positions of each agent's operations in the explicit list, by agent."""
        positions: dict[str, list[int]] = {agent: [] for agent in self.agent_names}
        for position, operation in enumerate(self.planned or ()):
            positions[operation.agent].append(position)
        return positions

    @cached_property
    def starts_of(self) -> dict[str, float]:
        """Seconds from the run's start to the start of each agent, by agent. Empty if there is no ramp.

        Also empty for an explicit list of operations, which has its own delays.
        """
        if not self.ramp or self.planned is not None:
            return {}
        step = float(self.ramp) / len(self.agent_names)
        return {agent: number * step for number, agent in enumerate(self.agent_names)}

    @property
    def number_of_operations(self) -> int | None:
        """Number of operations of all agents together; None if a duration ends the run."""
        if self.planned is not None:
            return len(self.planned)
        if self.operations_per_agent is None:
            return None
        return self.operations_per_agent * len(self.agent_names)

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as JSON types. ``Scenario(**scenario.to_dict())`` is an equal scenario."""
        names = {"agents": list(self.agent_names), "tasks": self._tasks()}
        values = {
            name: names[name] if name in names else _json_value(getattr(self, name)) for name in SCENARIO_OPTIONS
        }
        if self.planned is not None:
            values["operations"] = [list(row) for row in self.planned]
        return values

    def to_json(self) -> str:
        """Return the scenario as JSON text, which ``from_json`` reads."""
        values = self.to_dict()
        rows = values.pop("operations", None)
        head = json.dumps({"version": VERSION, **values}, indent=1)
        if rows is None:
            return head + "\n"
        lines = ",\n  ".join(map(json.dumps, rows))
        return f'{head[:-2]},\n "operations": [\n  {lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str | bytes, label: str = "scenario") -> Scenario:
        """Return the scenario from text that ``to_json`` wrote.

        Raises ``SettingError``, with the label, for text that is not JSON, has another version, or has a field or
        a value that is not allowed.
        """
        try:
            values = read_json(text)
        except ValueError as error:
            raise SettingError(f"{label}: {error}; must be what Scenario.to_json() writes") from None
        if not isinstance(values, dict) or "version" not in values:
            raise SettingError(
                f"{label}: {safe_repr(values)} is not a scenario; must be what Scenario.to_json() writes"
            )
        version = values.pop("version")
        if type(version) is not int or version != VERSION:
            raise SettingError(f"{label}: version {safe_repr(version)}; must be {VERSION}")
        unknown = sorted(values.keys() - set(FIELDS))
        if unknown:
            raise SettingError(
                f"{label}: {safe_repr(unknown[0])} is not a field of a scenario; allowed: {', '.join(FIELDS)}"
            )
        try:
            return cls(**values)
        except SettingError as error:
            raise SettingError(f"{label}: {error}") from None

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that make this scenario: all fields that differ from their defaults."""
        values = {name: getattr(self, name) for name in FIELDS}
        values |= {"agents": list(self.agent_names), "tasks": self._tasks()}
        if self.network is not None:
            values["network"] = self.network.to_dict()
        needed = {name for name in FIELDS if values[name] is not None and self._differs_from_default(name)}
        if self.planned is not None:
            values["operations"] = list(self.planned)
            listed = names_in(self.planned)
            needed -= {name for name in listed if values[name] == listed[name]}
            needed |= {name for name in listed if values[name] != listed[name]}
        names = self.agent_names
        if names == tuple(f"Agent_{number}" for number in range(1, len(names) + 1)):
            values["agents"] = len(names)
        return {name: values[name] for name in FIELDS if name in needed}

    def __repr__(self) -> str:
        return f"Scenario({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the ``repr`` in IPython and Hypothesis, which otherwise print every field of a dataclass."""
        printer.text("Scenario(...)" if cycle else repr(self))

    def _differs_from_default(self, name: str) -> bool:
        is_weighted = name == "tasks" and isinstance(self._tasks(), dict)
        return is_weighted or bool(getattr(self, name) != _DEFAULTS[name])

    def _tasks(self) -> list[str] | dict[str, float]:
        weights = self.weights or ()
        if all(weight == 1 for weight in weights):
            return list(self.task_names)
        return dict(zip(self.task_names, weights, strict=True))


def _json_value(value: Any) -> Any:
    """Return a field's value as JSON types, from which the field makes an equal value."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, tuple):
        return [window.to_plain() for window in value]
    return to_json_types(value)


def _weighted(tasks: Any, weights: Any) -> dict[Any, Any]:
    try:
        return dict(zip(tasks, weights, strict=True))
    except (TypeError, ValueError):
        reason = f"must have one number for each of the tasks {safe_repr(tasks)}"
        raise SettingError(f"weights={safe_repr(weights)}: {reason}") from None


_DEFAULTS: Final = {row.name: row.default for row in fields(Scenario) if row.init}

SCENARIO_OPTIONS: Final[Mapping[str, FieldOption]] = options_of(fields(Scenario))
"""The settings that a scenario decides, by name."""

FIELDS: Final = (*SCENARIO_OPTIONS, "operations")
"""Fields that define a scenario, without ``weights``, which is part of ``tasks``."""


@cache
def checked_defaults() -> Mapping[str, Any]:
    """Return the checked default of each setting of a scenario, except the number of operations."""
    return {
        name: option.type.check(_DEFAULTS[name], name)
        for name, option in SCENARIO_OPTIONS.items()
        if name != "operations_per_agent"
    }
