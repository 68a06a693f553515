"""Watching for operations that take longer than ``operation_timeout``."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_nos_stress.engines.base import Engine
from pytest_nos_stress.results.hang_report import HangReport
from pytest_nos_stress.results.records import Records

from .agent import Agent


class HangWatch:
    """Notes the agents of a run that hang. ``timeout``: seconds that an operation may take."""

    def __init__(self, engine: Engine, agents: Sequence[Agent], timeout: float) -> None:
        self._engine = engine
        self._agents = agents
        self._timeout = timeout
        self._timeout_ns = round(timeout * 1e9)
        self._overdue: dict[Agent, int] = {}
        self._activities: dict[str, str] = {}

    def update(self) -> bool:
        """Note the agents that hang now. Return True if any agent was ever seen to hang.

        An agent hangs if two updates in a row see the same overdue operation. A single update could see an agent
        that waits for the recorder.
        """
        overdue = self._engine.overdue(self._agents, self._timeout_ns)
        for agent, operation in overdue.items():
            if self._overdue.get(agent) == operation:
                self._activities[agent.name] = _activity(agent)
        self._overdue = overdue
        return bool(self._activities)

    def has_hung(self, records: Records) -> bool:
        """Return True if any operation took longer than the timeout, even if no update saw it."""
        return bool(self._activities or self._engine.timed_out) or self._is_exceeded_in(records)

    def report(self) -> HangReport:
        """Return the agents that hang, as known so far."""
        engine = self._engine
        return HangReport(
            self._timeout, self._activities, engine.timed_out, engine.cancelled, engine.still_running
        )

    def _is_exceeded_in(self, records: Records) -> bool:
        return any(bool((latency > self._timeout_ns).any()) for (latency,) in records.chunks("latency"))


def _activity(agent: Agent) -> str:
    return f"task {agent.current_task()}" if agent.in_session_since is None else agent.in_session
