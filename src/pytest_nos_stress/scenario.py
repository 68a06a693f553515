"""Scenario: everything that decides a run, as one value.

Two runs of one scenario perform the same plan. A scenario is frozen, validated when it is made (each field
by the settings table) and its ``repr`` is Python that makes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from . import settings


def _default(name: str) -> Any:
    return settings.BY_NAME[name].default


@dataclass(frozen=True, repr=False)
class Scenario:
    """What agents do, what goes wrong, and the seed that decides the rest.

    ``agents`` is a count or a list of names, ``tasks`` a list of names or a mapping of weights (above 0);
    both are kept as tuples. Delays, ``duration`` and ``operation_timeout`` are in seconds, or text with a
    unit. ``operations_per_agent`` is None where a ``duration`` is given. Raises ``SettingError`` (a
    ``ValueError``) for a value that is not allowed.
    """

    agents: Iterable[str] | int = _default("agents")
    tasks: Iterable[str] | Mapping[str, float] = settings.DEFAULT_TASKS
    missing_data_prob: float = _default("missing_data_prob")
    failure_prob: float = _default("failure_prob")
    operations_per_agent: int | None = None
    duration: float | None = _default("duration")
    min_delay: float = _default("min_delay")
    max_delay: float = _default("max_delay")
    failure_mode: str = _default("failure_mode")
    seed: int = 0
    engine: str = _default("engine")
    operation_timeout: float = _default("operation_timeout")
    weights: tuple[float, ...] | None = None
    """The tasks' weights, in their order; a mapping of weights as ``tasks`` gives them."""
    agent_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    task_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in FIELDS}
        if self.operations_per_agent is None:
            del given["operations_per_agent"]
        if self.weights is not None and not isinstance(self.tasks, Mapping):
            given["tasks"] = dict(zip(self.tasks, self.weights, strict=True))
        values = settings.check_all(given)
        settings.check_together(values)
        weights: dict[str, float] = values["tasks"]
        values["tasks"] = tuple(weights)
        if self.duration is None:
            values.setdefault("operations_per_agent", _default("operations_per_agent"))
        derived = {
            "agent_names": values["agents"],
            "task_names": values["tasks"],
            "weights": tuple(weights.values()),
        }
        for name, value in {**values, **derived}.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The scenario as JSON types; ``Scenario(**scenario.to_dict())`` is an equal one."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["agents"] = list(self.agent_names)
        values["tasks"] = self._tasks()
        return values

    def __repr__(self) -> str:
        values = self.to_dict()
        if list(self.agent_names) == [f"Agent_{n}" for n in range(1, len(self.agent_names) + 1)]:
            values["agents"] = len(self.agent_names)
        if self.operations_per_agent is None:
            del values["operations_per_agent"]
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value is not None)
        return f"Scenario({shown})"

    def _tasks(self) -> list[str] | dict[str, float]:
        weights = self.weights or ()
        if all(weight == 1 for weight in weights):
            return list(self.task_names)
        return dict(zip(self.task_names, weights, strict=True))


FIELDS = tuple(one.name for one in fields(Scenario) if one.init and one.name != "weights")
