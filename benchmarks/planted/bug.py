"""A planted bug: the service with the bug, the service without it, and the smallest scenario that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pytest_nos_stress import Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule

Row = tuple[str, str] | tuple[str, str, str | None] | tuple[str, str, str | None, float]


class Service(Protocol):
    """A system under test whose ``audit`` returns its problems."""

    def audit(self) -> list[str]: ...


class Size(NamedTuple):
    """Size of a scenario. Compares as a tuple: operations count most, delays least."""

    operations: int
    agents: int
    faults: int
    delays: int

    @classmethod
    def of(cls, scenario: Scenario) -> Size:
        rows = scenario.planned
        if rows is None:
            return cls._of_drawn(scenario)
        return cls(
            len(rows),
            len({row.agent for row in rows}),
            sum(row.fault is not None for row in rows),
            sum(row.delay > 0 for row in rows),
        )

    @classmethod
    def _of_drawn(cls, scenario: Scenario) -> Size:
        blocks = [block for agent in scenario.agent_names for block in AgentSchedule(scenario, agent).blocks()]
        return cls(
            sum(block.operation_codes.size for block in blocks),
            len(blocks),
            sum(int((block.operation_codes % scenario.fault_mix.count != 0).sum()) for block in blocks),
            sum(0 if block.think_times is None else int((block.think_times > 0).sum()) for block in blocks),
        )

    def reaches(self, smallest: Size) -> bool:
        """Return True if none of the four numbers is larger than that of the smallest known scenario."""
        return all(number <= least for number, least in zip(self, smallest, strict=True))

    def __str__(self) -> str:
        return "/".join(map(str, self))


@dataclass(frozen=True)
class Bug:
    """A planted bug. ``broken`` and ``fixed`` make a new service for each run, with and without the bug."""

    name: str
    description: str
    tasks: tuple[str, ...]
    broken: Callable[[], Service]
    fixed: Callable[[], Service]
    smallest: tuple[Row, ...]
    agents: tuple[int, int] = (1, 8)
    operations: tuple[int, int] = (1, 50)

    @property
    def smallest_scenario(self) -> Scenario:
        return Scenario(operations=self.smallest, tasks=self.tasks, engine="virtual")

    @property
    def smallest_size(self) -> Size:
        return Size.of(self.smallest_scenario)

    @property
    def bounds(self) -> dict[str, Any]:
        """Arguments for ``scenarios()``, which chooses faults and delays by default."""
        return {"tasks": self.tasks, "agents": self.agents, "operations": self.operations}
