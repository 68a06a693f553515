"""Scenario: everything that decides a run, as one value.

Two runs of one scenario perform the same plan. A scenario is frozen, hashable, validated when it is made
(each field by the settings table), its ``repr`` is Python that makes it again, and so is its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.frozen import to_json_types
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.config import options
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.catalogue import plannable_faults
from pytest_nos_stress.faults.mix import FaultMix, most_variants

from .fields import DEFAULT_TASKS, check_level, check_together

VERSION: Final = 1
_MOST_PLANS: Final = 1 << 16


class PlannedOperation(NamedTuple):
    """One operation of an explicit list.

    ``fault``: None, ``missing_data``, ``lost_request``, ``lost_reply`` or another kind of missing data or
    fault of calls (``pytest_nos_stress.faults.FAULTS``); ``delay``: the think time before the operation, in
    seconds from the end of the agent's last one.
    """

    agent: str
    task: str
    fault: str | None = None
    delay: float = 0.0

    def __repr__(self) -> str:
        values = list(self)
        while len(values) > 2 and not values[-1]:
            values.pop()
        return repr(tuple(values))


def _default(name: str) -> Any:
    return options.BY_NAME[name].default


@dataclass(frozen=True, repr=False)
class Scenario:
    """What agents do, what goes wrong, and the seed that decides the rest.

    ``agents`` is a count or a list of names, ``tasks`` a list of names or a mapping of weights (above 0); both
    are kept as tuples. Delays, ``duration``, ``ramp``, ``warmup`` and ``operation_timeout`` are in seconds, or
    text with a unit. ``operations_per_agent`` is None where a ``duration`` is given.

    ``operations`` is an explicit list in place of drawn ones: ``PlannedOperation`` or tuples of (agent, task,
    fault, delay), the last two as wanted. Each agent performs its own in their order; under the virtual
    engine those due at the same instant are performed in the order of the list. Agents and tasks are then
    those of the list, unless they are given too.

    ``missing_data``, ``faults``, ``fault_windows``, ``retries``, ``network`` and ``market`` are the world
    around the target: see the settings of those names.

    Raises ``SettingError`` (a ``ValueError``) for a value that is not allowed.
    """

    agents: Iterable[str] | int = _default("agents")
    tasks: Iterable[str] | Mapping[str, float] = DEFAULT_TASKS
    missing_data_prob: float = _default("missing_data_prob")
    failure_prob: float = _default("failure_prob")
    operations_per_agent: int | None = None
    duration: float | None = _default("duration")
    ramp: float = _default("ramp")
    warmup: float = _default("warmup")
    min_delay: float = _default("min_delay")
    max_delay: float = _default("max_delay")
    failure_mode: str = _default("failure_mode")
    missing_data: Any = None
    faults: Any = None
    fault_windows: Any = None
    retries: Any = 0
    network: Any = None
    market: Any = None
    seed: int = 0
    engine: str = _default("engine")
    own_threads: bool = _default("own_threads")
    operation_timeout: float = _default("operation_timeout")
    operations: Iterable[PlannedOperation | tuple[Any, ...]] | None = None
    weights: tuple[float, ...] | None = None
    """The tasks' weights, in their order; a mapping of weights as ``tasks`` gives them."""
    agent_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    task_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    planned: tuple[PlannedOperation, ...] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        planned = None if self.operations is None else _rows(self.operations)
        given = {name: getattr(self, name) for name in FIELDS if name != "operations"}
        if planned is not None:
            given |= {name: names for name, names in _names_in(planned).items() if given[name] is _DEFAULTS[name]}
        if self.operations_per_agent is None:
            del given["operations_per_agent"]
        elif planned is not None:
            raise SettingError(
                f"operations_per_agent={self.operations_per_agent} and operations: give one or the other"
            )
        if self.weights is not None and not isinstance(self.tasks, Mapping):
            given["tasks"] = _weighted(self.tasks, self.weights)
        values = options.check_all(given)
        check_level(values)
        check_together(values)
        if values["seed"] is None:
            raise SettingError("seed=None: must be a whole number")
        weights: dict[str, float] = values["tasks"]
        values["tasks"] = tuple(weights)
        if planned is not None:
            _check_names(planned, values)
        elif self.duration is None:
            values.setdefault("operations_per_agent", _default("operations_per_agent"))
        derived = {
            "agent_names": values["agents"],
            "task_names": values["tasks"],
            "weights": tuple(weights.values()),
            "operations": planned,
            "planned": planned,
        }
        for name, value in {**values, **derived}.items():
            object.__setattr__(self, name, value)
        if (
            len(self.task_names) * most_variants() > _MOST_PLANS
            and len(self.task_names) * self.fault_mix.count > _MOST_PLANS
        ):
            most = _MOST_PLANS // self.fault_mix.count
            raise SettingError(f"tasks: {len(self.task_names)} names; must be at most {most} with these faults")

    @cached_property
    def fault_mix(self) -> FaultMix:
        """What may be planned for an operation: calls, missing data, faults of calls."""
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
    def places_of(self) -> dict[str, list[int]]:
        """Where in the explicit list each agent's operations stand."""
        places: dict[str, list[int]] = {agent: [] for agent in self.agent_names}
        for place, operation in enumerate(self.planned or ()):
            places[operation.agent].append(place)
        return places

    @cached_property
    def starts_of(self) -> dict[str, float]:
        """Seconds after the run's start at which each agent starts; empty where they start together.

        The delays of an explicit list say it themselves.
        """
        if not self.ramp or self.planned is not None:
            return {}
        step = float(self.ramp) / len(self.agent_names)
        return {agent: number * step for number, agent in enumerate(self.agent_names)}

    @property
    def number_of_operations(self) -> int | None:
        """How many operations all agents perform; None in a run by duration."""
        if self.planned is not None:
            return len(self.planned)
        if self.operations_per_agent is None:
            return None
        return self.operations_per_agent * len(self.agent_names)

    def to_dict(self) -> dict[str, Any]:
        """The scenario as JSON types; ``Scenario(**scenario.to_dict())`` is an equal one."""
        values = {name: getattr(self, name) for name in FIELDS if name != "operations"}
        values |= {name: _to_plain(values[name]) for name in _STRUCTURED}
        values["agents"] = list(self.agent_names)
        values["tasks"] = self._tasks()
        if self.planned is not None:
            values["operations"] = [list(one) for one in self.planned]
        return values

    def to_json(self) -> str:
        """The scenario as JSON text, which ``from_json`` reads."""
        values = self.to_dict()
        rows = values.pop("operations", None)
        head = json.dumps({"version": VERSION, **values}, indent=1)
        if rows is None:
            return head + "\n"
        lines = ",\n  ".join(map(json.dumps, rows))
        return f'{head[:-2]},\n "operations": [\n  {lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str, label: str = "scenario") -> Scenario:
        """The scenario that ``to_json`` wrote.

        Raises ``SettingError``, under the label, for text that is not JSON, is of another version, or has a
        field or a value that is not allowed.
        """
        try:
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise SettingError(f"{label}: not JSON ({error}); must be what Scenario.to_json() writes") from None
        if not isinstance(values, dict) or "version" not in values:
            raise SettingError(
                f"{label}: {safe_repr(values)} is no scenario; must be what Scenario.to_json() writes"
            )
        version = values.pop("version")
        if type(version) is not int or version != VERSION:
            raise SettingError(f"{label}: version {safe_repr(version)}; must be {VERSION}")
        unknown = sorted(values.keys() - set(FIELDS))
        if unknown:
            raise SettingError(
                f"{label}: {safe_repr(unknown[0])} is no field of a scenario; allowed: {', '.join(FIELDS)}"
            )
        try:
            return cls(**values)
        except SettingError as error:
            raise SettingError(f"{label}: {error}") from None

    @property
    def arguments(self) -> dict[str, Any]:
        """What has to be given to make this scenario: every field that does not have its default."""
        values = self.to_dict()
        told = [name for name in FIELDS if values.get(name) is not None and self._tells(name)]
        if self.planned is not None:
            values["operations"] = list(self.planned)
            named = _names_in(self.planned)
            unnamed = {name for name in named if values[name] != named[name]}
            told = [name for name in FIELDS if name in unnamed or (name in told and name not in named)]
        names = list(self.agent_names)
        if names == [f"Agent_{number}" for number in range(1, len(names) + 1)]:
            values["agents"] = len(names)
        values |= {name: getattr(self, name) for name in _STRUCTURED if name != "network"}
        return {name: values[name] for name in told}

    def __repr__(self) -> str:
        return f"Scenario({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For IPython and Hypothesis, which would show every field of a dataclass."""
        printer.text("Scenario(...)" if cycle else repr(self))

    def _tells(self, name: str) -> bool:
        """Whether a field has another value than it has by default."""
        return bool(
            getattr(self, name) != _DEFAULTS[name] or (name == "tasks" and isinstance(self._tasks(), dict))
        )

    def _tasks(self) -> list[str] | dict[str, float]:
        weights = self.weights or ()
        if all(weight == 1 for weight in weights):
            return list(self.task_names)
        return dict(zip(self.task_names, weights, strict=True))


_STRUCTURED: Final = ("missing_data", "faults", "fault_windows", "retries", "network", "market")


def _to_plain(value: Any) -> Any:
    """A setting's value as JSON types, of which the setting makes an equal one."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, tuple):
        return [one.to_plain() for one in value]
    return to_json_types(value)


def _weighted(tasks: Any, weights: Any) -> dict[Any, Any]:
    try:
        return dict(zip(tasks, weights, strict=True))
    except (TypeError, ValueError):
        reason = f"must be as many numbers as there are tasks ({safe_repr(tasks)})"
        raise SettingError(f"weights={safe_repr(weights)}: {reason}") from None


FIELDS: Final = tuple(one.name for one in fields(Scenario) if one.init and one.name != "weights")
_DEFAULTS: Final = {one.name: one.default for one in fields(Scenario) if one.init}


def _names_in(planned: tuple[PlannedOperation, ...]) -> dict[str, list[str]]:
    """The agents and tasks of an explicit list."""
    return {
        "agents": list(dict.fromkeys(one.agent for one in planned)),
        "tasks": list(dict.fromkeys(one.task for one in planned)),
    }


def _rows(given: Iterable[Any]) -> tuple[PlannedOperation, ...]:
    if isinstance(given, (str, bytes, Mapping)):
        raise SettingError(f"operations={safe_repr(given)}: must be a list of (agent, task, fault, delay)")
    try:
        rows = list(given)
    except TypeError:
        raise SettingError(
            f"operations={safe_repr(given)}: must be a list of (agent, task, fault, delay)"
        ) from None
    if not rows:
        raise SettingError("operations=[]: must have at least one (agent, task, fault, delay)")
    return tuple(_row(number, row) for number, row in enumerate(rows))


def _row(number: int, given: Any) -> PlannedOperation:
    label = f"operations[{number}]"
    if not isinstance(given, (tuple, list)) or not 2 <= len(given) <= 4:
        raise SettingError(
            f"{label}={safe_repr(given)}: must be (agent, task), (agent, task, fault) or with a delay"
        )
    row = PlannedOperation(*given)
    if not all(isinstance(name, str) and name.strip() for name in row[:2]):
        raise SettingError(f"{label}={safe_repr(given)}: agent and task must be names")
    if row.fault is not None and row.fault not in plannable_faults():
        raise SettingError(
            f"{label}: fault {safe_repr(row.fault)}; must be None, {' or '.join(plannable_faults())}"
        )
    delay = options.BY_NAME["min_delay"].check(row.delay, f"{label}: delay")
    return row._replace(agent=str.__str__(row.agent), task=str.__str__(row.task), delay=delay)


def _check_names(planned: tuple[PlannedOperation, ...], values: dict[str, Any]) -> None:
    for what, allowed in (("agent", values["agents"]), ("task", values["tasks"])):
        known = set(allowed)
        for number, row in enumerate(planned):
            name = getattr(row, what)
            if name not in known:
                raise SettingError(
                    f"operations[{number}]: unknown {what} {safe_repr(name)}; allowed: {', '.join(allowed)}"
                )
    if values.get("duration") is not None:
        raise SettingError(f"duration={values['duration']:g} and operations: give one or the other")
