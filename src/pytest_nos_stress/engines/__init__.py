"""Engines run the agents.

An engine gets agents and performs their operations until all agents end or the run is stopped. It knows nothing of
faults, records or pytest. An agent has a name, a session and an iterator: each value is the pause before the next
operation, and asking for the next value performs that operation.

An engine is a class that declares its capabilities (``base.Engine``), and a row of ``ENGINES``. The rest of the
package asks the class for its capabilities and never for its name. Every pytest session with the plugin installed
imports this module; the module of an engine is imported when a run uses the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Engine, EngineOptions


class EngineRow:
    """A row of ``ENGINES``: the location of the engine's class (``module:class``), and its summary for help texts.

    Not a ``NamedTuple``, because defining one takes longer than importing the rest of this module.
    """

    __slots__ = ("location", "summary")

    def __init__(self, location: str, summary: str) -> None:
        self.location = location
        self.summary = summary


ENGINES: dict[str, EngineRow] = {
    "threads": EngineRow("pytest_nos_stress.engines.threads:ThreadsEngine", "real time"),
    "asyncio": EngineRow(
        "pytest_nos_stress.engines.asyncio_engine:AsyncioEngine", "selected automatically for async def tasks"
    ),
    "virtual": EngineRow(
        "pytest_nos_stress.engines.virtual.engine:VirtualEngine",
        "one agent at a time in virtual time; a seed repeats the order",
    ),
}
"""All engines, by name."""
DEFAULT = "threads"
RESERVED = ("explore",)
"""Names of future engines, which settings already accept."""


def engine_class(name: str, label: str = "engine") -> type[Engine]:
    """Return the class of an engine.

    Raises ``SettingError`` for an engine that does not exist yet. The error names the setting by ``label``.
    """
    from pkgutil import resolve_name

    from pytest_nos_stress.errors import SettingError

    if name not in ENGINES:
        raise SettingError(f"{label}={name!r}: does not exist yet; allowed: {', '.join(map(repr, ENGINES))}")
    loaded: type[Engine] = resolve_name(ENGINES[name].location)
    return loaded


def create(name: str, options: EngineOptions | None = None) -> Engine:
    """Return a new engine. Raises ``SettingError`` as ``engine_class`` does."""
    return engine_class(name)(options)


def name_of_first(is_wanted: Callable[[type[Engine]], bool]) -> str:
    """Return the name of the first engine whose class fulfils the condition."""
    return next(name for name in ENGINES if is_wanted(engine_class(name)))


def names_as_text() -> str:
    """Return the names of all engines as text: ``threads, asyncio or virtual``."""
    return _join(ENGINES)


def help_text() -> str:
    """Return the names of all engines with their summaries, for help texts."""
    return _join(f"{name} ({row.summary})" for name, row in ENGINES.items())


def _join(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} or {last}"
