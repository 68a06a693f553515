"""Engines: what runs the agents.

An engine is given agents and performs the operations of each until they end or the run is stopped. It knows
nothing of faults, records or pytest: an agent has a name, a session and an iterator that performs the next
operation whenever it is advanced and gives the pause before that operation.

An engine is one class, which declares what it can do (``base.Engine``), and one row of ``ENGINES``. The rest of
the package asks the class for its capabilities and never for its name. This module is imported by every session
that has the plugin installed; the module of an engine is imported when the engine is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Engine, EngineOptions


class EngineRow:
    """Where the class of an engine is (``module:class``), and what help says of the engine.

    Not a ``NamedTuple``, which takes longer to define than the rest of this module to import.
    """

    __slots__ = ("summary", "where")

    def __init__(self, where: str, summary: str) -> None:
        self.where = where
        self.summary = summary


ENGINES: dict[str, EngineRow] = {
    "threads": EngineRow("pytest_nos_stress.engines.threads:ThreadsEngine", "real time"),
    "asyncio": EngineRow(
        "pytest_nos_stress.engines.asyncio_engine:AsyncioEngine", "async def tasks, which choose it by themselves"
    ),
    "virtual": EngineRow(
        "pytest_nos_stress.engines.virtual.engine:VirtualEngine",
        "one agent at a time in virtual time, the same order in every run of a seed",
    ),
}
"""Every engine by its name."""
DEFAULT = "threads"
RESERVED = ("explore",)
"""Names that settings accept although no engine has them yet."""


def engine_class(name: str, label: str = "engine") -> type[Engine]:
    """Return the class of an engine, which says what the engine can do.

    Raises ``SettingError``, under the label, for an engine that does not exist yet.
    """
    from pkgutil import resolve_name

    from pytest_nos_stress.errors import SettingError

    if name not in ENGINES:
        raise SettingError(f"{label}={name!r}: does not exist yet; allowed: {', '.join(map(repr, ENGINES))}")
    found: type[Engine] = resolve_name(ENGINES[name].where)
    return found


def create(name: str, options: EngineOptions | None = None) -> Engine:
    """Return a new engine. Raises as ``engine_class`` does."""
    return engine_class(name)(options)


def name_of_first(is_wanted: Callable[[type[Engine]], bool]) -> str:
    """Return the name of the first engine of the table with the wanted capability."""
    return next(name for name in ENGINES if is_wanted(engine_class(name)))


def names_as_text() -> str:
    """Return the names of all engines as text: ``threads, asyncio or virtual``."""
    return _join(ENGINES)


def help_text() -> str:
    """Return the names of all engines with their summaries, as text for help."""
    return _join(f"{name} ({row.summary})" for name, row in ENGINES.items())


def _join(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} or {last}"
