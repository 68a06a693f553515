"""Engines: what runs the agents.

An engine is given agents and runs each one's operations until they end or the run is stopped. It knows
nothing of faults, records or pytest: an agent is something with a name, a session and an iterator that
performs the next operation whenever it is advanced and gives back the pause before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from pytest_nos_stress.settings import SettingError


class Clock(Protocol):
    """Time as an engine keeps it: nanoseconds that never step back, anchored once to the wall clock."""

    started_ns: int
    """When the agents were let go, on the clock of ``now_ns``."""
    wall_offset_ns: int
    """What to add to ``now_ns`` for nanoseconds since the epoch."""

    @property
    def now_ns(self) -> Callable[[], int]:
        """Gives the time; a property, so that a hot loop calls the clock itself."""

    def sleep(self, seconds: float) -> None: ...


class EngineAgent(Protocol):
    """An agent as an engine sees it."""

    name: str

    def session(self) -> AbstractContextManager[None]:
        """Entered and left around all operations, where the agent's operations run."""

    def operations(self) -> Iterator[float]:
        """Each value is the pause in seconds before an operation; asking for the next performs it."""


class LostAgent(NamedTuple):
    """An agent that ended with an exception of its own, which is not that of an operation."""

    agent: str
    error: BaseException


class Unfinished(NamedTuple):
    """An agent that did not end when it was asked to, and where it is."""

    agent: str
    stack: str


class Engine(Protocol):
    """What runs agents."""

    lost: list[LostAgent]
    unfinished: list[Unfinished]

    @property
    def clock(self) -> Clock: ...

    def run(self, agents: Sequence[EngineAgent], watch: Callable[[], None]) -> None:
        """Run the agents to their end; ``watch`` is called some ten times a second in the meantime.

        Once stopped, it returns within two seconds, whatever the agents do. What ``watch`` raises, and
        ``KeyboardInterrupt``, stops the run and is raised.
        """

    def stop(self) -> None:
        """Let no further operation begin, and end every pause and sleep. From any thread, any number of times."""


def create(name: str, label: str = "engine") -> Engine:
    """A new engine of that name. Raises ``SettingError``, under the label, for one that does not exist yet."""
    if name == "threads":
        from .threads import ThreadsEngine

        return ThreadsEngine()
    raise SettingError(f"{label}={name!r}: does not exist yet; allowed: 'threads'")
