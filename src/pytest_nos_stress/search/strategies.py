"""Scenarios for Hypothesis: what agents do and what goes wrong, found, shrunk and shown.

What happens is drawn as a list of rows of three small numbers (agent, task, fault), each the place of a value in a
list that begins with the simplest; a row whose second number is that of no task lets time pass for all instead.
So rows are performed in their order. Hypothesis shrinks such rows well: it drops an operation without losing time,
drops time without changing the order, and has no structure to get lost in. Where each operation has a delay of
its own, dropping one changes the order of others, and delays stay that do no more than keep an order.
``benchmarks/shrinking.py`` compares the two and other ways. Everything is drawn before a run starts, since
Hypothesis may not be asked for values from several threads.

The failure that Hypothesis reports carries the scenario as an ``@example(...)`` to paste above the test.
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
"""Seconds that pass: none, shorter and longer than services take, and long enough for data to be stale."""
_MOST_AGENTS: Final = 1_000
_LARGEST_SEED: Final = 0xFFFF
_FEWEST_ROWS_IN_LIST, _MOST_ROWS_IN_LIST = 3, 10

_Row = tuple[int, int, int]

_argument: str | None = None


@contextmanager
def shown_as(argument: str | None) -> Iterator[None]:
    """In the block, failures show a scenario as this argument of the test, to be pasted.

    As its last argument where that is None, and not at all where it is empty.
    """
    global _argument
    previous, _argument = _argument, argument
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
    """A strategy for scenarios with an explicit list of operations.

    ``agents`` (some of which may perform nothing) and ``operations`` (of all together) are a number or the least
    and the most; ``faults`` are
    those that may be planned, of ``missing_data``, ``lost_request``, ``lost_reply`` and all others of
    ``pytest_nos_stress.faults.FAULTS``; ``delays`` how much time
    may pass before an operation, in seconds or text with a unit. The shortest is the think time of every
    operation; the others, the simplest first, are times in which nobody begins anything, and add up. Simpler
    scenarios have fewer operations, fewer agents, no faults and no delays. The agents are called ``Agent_1``,
    ``Agent_2``, ...
    Raises ``SettingError`` for bounds that nothing lies in, and for unknown faults.
    """
    if isinstance(tasks, Mapping):
        raise SettingError(f"scenarios: tasks={safe_repr(tasks)}: must be a list; Hypothesis draws all alike")
    task_names: Sequence[str] = tuple(BY_NAME["tasks"].check(tasks, "scenarios: tasks"))
    fewest_agents, most_agents = _bounds("agents", agents, most=_MOST_AGENTS)
    fewest, most = _bounds("operations", operations)
    decoder = _RowDecoder(task_names, _faults(faults), _pauses(delays), fewest, most)
    BY_NAME["engine"].check(engine, "scenarios: engine")
    BY_NAME["own_threads"].check(own_threads, "scenarios: own_threads")
    row = st.tuples(_indices(most_agents), _indices(decoder.task_count), _indices(decoder.fault_count))
    # A list of Hypothesis' has five or six elements, and long scenarios find more bugs. A list of lists shrinks as
    # well: any row can go, and which list it was in has no decoder.
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

    # Many bugs need an agent to come again. With few agents it does; all are there in the simplest case, so that
    # their number is out of the way once each row has its agent.
    absent = st.integers(0, most_agents - fewest_agents)
    return st.builds(scenario, rows, st.integers(0, _LARGEST_SEED), absent).map(_noted)


class _RowDecoder:
    """Turns the numbers of rows into operations."""

    def __init__(
        self, tasks: Sequence[str], faults: Sequence[str], pauses: Sequence[float], fewest: int, most: int
    ) -> None:
        self._tasks = tasks
        self._faults = [None, *faults]
        self._think_time = min(pauses)
        self._pauses = [pause for pause in pauses if pause > self._think_time]
        self._fewest, self._most = fewest, most
        self.task_count = len(tasks) + (max(1, len(tasks) // 3) if self._pauses else 0)
        # Less than half of the operations have a fault: where all go wrong, little is reached.
        self.fault_count = max(2 * len(self._faults) if faults else 1, len(self._pauses))

    def operations(self, rows: Sequence[_Row], agents: int) -> list[PlannedOperation]:
        """The operations of these rows, and simplest ones where they are too few; pauses count in the delays."""
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


def _noted(scenario: Scenario) -> Scenario:
    if _argument != "":
        name = "" if _argument is None else f"{_argument}="
        note(f"@example({name}{scenario!r})")
    return scenario


def _bounds(name: str, value: Any, most: int | None = None) -> tuple[int, int]:
    label = f"scenarios: {name}={safe_repr(value)}"
    allowed = "a whole number from 1 up, or the least and the most" + (f" (at most {most})" if most else "")
    try:
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        least, largest = map(operator.index, pair)
    except (TypeError, ValueError):
        raise SettingError(f"{label}: must be {allowed}") from None
    if isinstance(value, bool) or least < 1 or (most is not None and largest > most):
        raise SettingError(f"{label}: must be {allowed}")
    if least > largest:
        raise SettingError(f"{label}: the least is above the most")
    return least, largest


def _checked_list(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise SettingError(f"scenarios: {name}={safe_repr(value)}: must be a list")
    return list(value)


def _pauses(delays: Any) -> list[float]:
    checked = [BY_NAME["min_delay"].check(delay, "scenarios: delays") for delay in _checked_list("delays", delays)]
    return checked or [0.0]


def _faults(names: Any) -> list[str]:
    faults = list(dict.fromkeys(_checked_list("faults", names)))
    allowed = plannable_faults()
    for fault in faults:
        if fault not in allowed:
            raise SettingError(
                f"scenarios: faults={safe_repr(faults)}: {safe_repr(fault)} must be {' or '.join(allowed)}"
            )
    return faults
