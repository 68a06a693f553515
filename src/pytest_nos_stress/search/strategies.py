"""Hypothesis strategies that draw scenarios: operations of agents, with faults and pauses.

A scenario is drawn as a list of rows. A row is three small numbers: agent, task and fault. Each number is an index
into a list that begins with the simplest value. If the second number is above the last task's index, the row is
not an operation, but a pause of all agents. Operations begin in the order of their rows.

Hypothesis shrinks such rows well, because a row has no inner structure. It can drop an operation and keep the
pauses, or drop a pause and keep the order of operations. If each operation had its own delay, dropping an
operation would change the order of the others, and delays would remain only to keep that order.
``benchmarks/shrinking.py`` compares both encodings, and others. Everything is drawn before a run starts, because
Hypothesis does not allow draws from several threads.

A failure that Hypothesis reports carries the scenario as an ``@example(...)`` to paste above the test.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import note
from hypothesis import strategies as st

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import LONGEST_SECONDS
from pytest_nos_stress.config.options import BY_NAME
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.catalogue import plannable_faults
from pytest_nos_stress.scenario.fields import DEFAULT_TASKS
from pytest_nos_stress.scenario.planned_operations import PlannedOperation
from pytest_nos_stress.scenario.scenario import Scenario

SEED_FAULTS: Final = ("missing_data", "lost_request", "lost_reply")
DELAYS: Final = (0.0, 0.01, 1.0, 60.0)
"""Seconds: none, shorter than a call usually takes, longer than it, and long enough for data to be stale."""
_MOST_AGENTS: Final = 1_000
_LARGEST_SEED: Final = 0xFFFF
_FEWEST_ROWS_IN_LIST, _MOST_ROWS_IN_LIST = 3, 10

_Row = tuple[int, int, int]
"""Agent, task and fault."""

_argument: str | None = None


@contextmanager
def example_argument(name: str | None) -> Iterator[None]:
    """Print the scenario of a failure in the block as ``@example(name=scenario)``, to paste.

    ``name``: the test's argument for the scenario. If None, the scenario is a positional argument of ``@example``.
    If empty, no example is printed.
    """
    global _argument
    previous, _argument = _argument, name
    try:
        yield
    finally:
        _argument = previous


def scenarios(
    tasks: Iterable[str] = DEFAULT_TASKS,
    agents: int | tuple[int, int] = (1, 8),
    operations: int | tuple[int, int] = (1, 50),
    faults: Iterable[str] = SEED_FAULTS,
    delays: Iterable[float | str] = DELAYS,
    *,
    engine: str = "virtual",
    own_threads: bool = True,
) -> st.SearchStrategy[Scenario]:
    """Return a strategy for scenarios with an explicit list of operations.

    ``agents``: the number of agents, or a pair of minimum and maximum. Some agents may perform no operation.
    ``operations``: the number of operations of all agents together, or a pair of minimum and maximum.
    ``faults``: faults to choose from, of ``missing_data`` and the names in ``pytest_nos_stress.faults.FAULTS``.
    ``delays``: times in seconds, or text with a unit. The shortest delay is the think time of every operation. The
    others, listed from simple to complex, are pauses in which no agent begins an operation; consecutive pauses
    add up.

    Simpler scenarios have fewer operations, fewer agents, no faults and no delays. The agents are called
    ``Agent_1``, ``Agent_2``, ...

    Raises ``SettingError`` if a minimum is above its maximum, if a fault is unknown, or if another argument is not
    allowed.
    """
    if isinstance(tasks, Mapping):
        raise SettingError(
            f"scenarios: tasks={safe_repr(tasks)}: must be a list of names; Hypothesis does not draw by weight"
        )
    task_names: Sequence[str] = tuple(BY_NAME["tasks"].check(tasks, "scenarios: tasks"))
    fewest_agents, most_agents = _bounds("agents", agents, most=_MOST_AGENTS)
    fewest, most = _bounds("operations", operations)
    decoder = _RowDecoder(task_names, _faults(faults), _delays(delays), fewest, most)
    BY_NAME["engine"].check(engine, "scenarios: engine")
    BY_NAME["own_threads"].check(own_threads, "scenarios: own_threads")
    row = st.tuples(_indices(most_agents), _indices(decoder.task_count), _indices(decoder.fault_count))
    # Lists that Hypothesis draws have five or six elements on average, but long scenarios find more bugs. A list
    # of lists is longer, and shrinks as well: any row can be dropped, and the decoder ignores the inner lists.
    batch = st.lists(row, min_size=1, max_size=_MOST_ROWS_IN_LIST)
    rows = st.lists(batch, min_size=max(1, fewest // _FEWEST_ROWS_IN_LIST), max_size=most)

    def scenario(drawn: list[list[_Row]], seed: int, absent: int) -> Scenario:
        operations = decoder.operations([*itertools.chain(*drawn)], most_agents - absent)
        return Scenario(
            agents=max(fewest_agents, len({operation.agent for operation in operations})),
            operations=operations,
            seed=seed,
            engine=engine,
            own_threads=own_threads,
        )

    # Many bugs need several operations of the same agent, which few agents make likely. The simplest value of
    # ``absent`` is 0: all agents are present, so that shrinking the rows does not depend on this number.
    absent = st.integers(0, most_agents - fewest_agents)
    return st.builds(scenario, rows, st.integers(0, _LARGEST_SEED), absent).map(_with_example_note)


class _RowDecoder:
    """Turns rows into operations."""

    def __init__(
        self, tasks: Sequence[str], faults: Sequence[str], delays: Sequence[float], fewest: int, most: int
    ) -> None:
        self._tasks = tasks
        self._faults = [None, *faults]
        self._think_time = min(delays)
        self._pauses = [delay for delay in delays if delay > self._think_time]
        self._fewest, self._most = fewest, most
        self.task_count = len(tasks) + (max(1, len(tasks) // 3) if self._pauses else 0)
        # Less than half of the operations have a fault. If most operations failed, few states would be reached.
        self.fault_count = max(2 * len(self._faults) if faults else 1, len(self._pauses))

    def operations(self, rows: Sequence[_Row], agents: int) -> list[PlannedOperation]:
        """Return the operations of these rows; a pause becomes part of the delays of later operations.

        If there are fewer operations than the minimum, the simplest operation is appended until there are enough.
        """
        operations: list[PlannedOperation] = []
        names: dict[int, str] = {}
        due: dict[str, float] = {}
        paused_until = latest = 0.0
        missing = self._fewest - sum(task < len(self._tasks) for _, task, _ in rows)
        for agent, task, fault in itertools.chain(rows, itertools.repeat((0, 0, 0), max(0, missing))):
            if task >= len(self._tasks):
                paused_until = latest = latest + self._pauses[fault % len(self._pauses)]
                continue
            name = names.setdefault(agent % agents, f"Agent_{len(names) + 1}")
            before = due.get(name, 0.0)
            due[name] = max(before + self._think_time, paused_until)
            latest = max(latest, due[name])
            operations.append(
                PlannedOperation(
                    name,
                    self._tasks[task],
                    self._faults[fault] if fault < len(self._faults) else None,
                    min(round(due[name] - before, 9), LONGEST_SECONDS),
                )
            )
            if len(operations) == self._most:
                break
        return operations


def _indices(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def _with_example_note(scenario: Scenario) -> Scenario:
    if _argument != "":
        name = "" if _argument is None else f"{_argument}="
        note(f"@example({name}{scenario!r})")
    return scenario


def _bounds(name: str, value: Any, most: int | None = None) -> tuple[int, int]:
    label = f"scenarios: {name}={safe_repr(value)}"
    allowed = "a whole number from 1 up, or a pair (minimum, maximum)" + (f" up to {most}" if most else "")
    try:
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        least, largest = map(operator.index, pair)
    except (TypeError, ValueError):
        raise SettingError(f"{label}: must be {allowed}") from None
    if isinstance(value, bool) or least < 1 or (most is not None and largest > most):
        raise SettingError(f"{label}: must be {allowed}")
    if least > largest:
        raise SettingError(f"{label}: the minimum must not be above the maximum")
    return least, largest


def _checked_list(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise SettingError(f"scenarios: {name}={safe_repr(value)}: must be a list")
    return list(value)


def _delays(delays: Any) -> list[float]:
    checked = [BY_NAME["min_delay"].check(delay, "scenarios: delays") for delay in _checked_list("delays", delays)]
    return checked or [0.0]


def _faults(names: Any) -> list[str]:
    faults = list(dict.fromkeys(_checked_list("faults", names)))
    allowed = plannable_faults()
    for fault in faults:
        if fault not in allowed:
            raise SettingError(
                f"scenarios: faults={safe_repr(faults)}: unknown fault {safe_repr(fault)}; "
                f"allowed: {', '.join(allowed)}"
            )
    return faults
