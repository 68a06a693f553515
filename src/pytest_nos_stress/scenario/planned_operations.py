"""Explicit list of operations: the rows of a scenario's ``operations``, and their validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import DELAY
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.catalogue import plannable_faults

_ROW = "(agent, task, fault, delay)"


class PlannedOperation(NamedTuple):
    """One operation of an explicit list.

    - ``agent`` and ``task``: names.
    - ``fault``: None, or a name of ``pytest_nos_stress.faults.FAULTS``, such as ``missing_data``,
      ``lost_request`` or ``lost_reply``.
    - ``delay``: the think time before the operation, in seconds from the end of the agent's previous operation.
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


def planned_operations(rows: Iterable[Any]) -> tuple[PlannedOperation, ...]:
    """Return the checked rows of a list. Raises ``SettingError`` if the value is not a list of operations."""
    if isinstance(rows, (str, bytes, Mapping)):
        raise _not_a_list(rows)
    try:
        listed = list(rows)
    except TypeError:
        raise _not_a_list(rows) from None
    if not listed:
        raise SettingError(f"operations=[]: must have at least one {_ROW}")
    return tuple(_planned_operation(number, row) for number, row in enumerate(listed))


def names_in(planned: Sequence[PlannedOperation]) -> dict[str, list[str]]:
    """Return the agents and the tasks of a list, in the order of their first operations."""
    return {
        "agents": list(dict.fromkeys(row.agent for row in planned)),
        "tasks": list(dict.fromkeys(row.task for row in planned)),
    }


def check_names(planned: Sequence[PlannedOperation], agents: Sequence[str], tasks: Sequence[str]) -> None:
    """Raise ``SettingError`` if an operation names an agent or a task that the scenario does not have."""
    for noun, allowed in (("agent", agents), ("task", tasks)):
        known = set(allowed)
        for number, row in enumerate(planned):
            name = getattr(row, noun)
            if name not in known:
                raise SettingError(
                    f"operations[{number}]: unknown {noun} {safe_repr(name)}; allowed: {', '.join(allowed)}"
                )


def _not_a_list(value: object) -> SettingError:
    return SettingError(f"operations={safe_repr(value)}: must be a list of {_ROW}")


def _planned_operation(number: int, values: Any) -> PlannedOperation:
    label = f"operations[{number}]"
    if not isinstance(values, (tuple, list)) or not 2 <= len(values) <= 4:
        raise SettingError(f"{label}={safe_repr(values)}: must be (agent, task), (agent, task, fault) or {_ROW}")
    row = PlannedOperation(*values)
    if not all(isinstance(name, str) and name.strip() for name in row[:2]):
        raise SettingError(f"{label}={safe_repr(values)}: agent and task must be names")
    faults = plannable_faults()
    if row.fault is not None and row.fault not in faults:
        raise SettingError(f"{label}: unknown fault {safe_repr(row.fault)}; allowed: None, {', '.join(faults)}")
    delay = DELAY.check(row.delay, f"{label}: delay")
    return row._replace(agent=str.__str__(row.agent), task=str.__str__(row.task), delay=delay)
