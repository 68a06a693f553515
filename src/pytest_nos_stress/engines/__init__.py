"""Engines: what runs the agents.

An engine is given agents and runs each one's operations until they end or the run is stopped. It knows
nothing of faults, records or pytest: an agent is something with a name, a session and an iterator that
performs the next operation whenever it is advanced and gives back the pause before it.

What must come back during a run goes through two seams: ``after``, called when an operation has ended, and
``stop()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nos_stress.errors import SettingError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .base import Engine


def create(
    name: str,
    label: str = "engine",
    *,
    own_threads: bool = True,
    patience: float = 30.0,
    loop: AbstractEventLoop | None = None,
) -> Engine:
    """A new engine of that name. Raises ``SettingError``, under the label, for one that does not exist yet.

    ``own_threads`` and ``patience`` (seconds an agent may wait for a thread that is no agent's) are for the
    virtual engine, ``loop`` (a running event loop to use; default: one of its own) for asyncio.
    """
    if name == "threads":
        from .threads import ThreadsEngine

        return ThreadsEngine()
    if name == "virtual":
        from pytest_nos_stress.engines.virtual.engine import VirtualEngine

        return VirtualEngine(own_threads=own_threads, patience=patience)
    if name == "asyncio":
        from .asyncio_engine import AsyncioEngine

        return AsyncioEngine(loop)
    raise SettingError(f"{label}={name!r}: does not exist yet; allowed: 'threads', 'asyncio', 'virtual'")
