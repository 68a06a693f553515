"""The agent on whose behalf code runs: in the agent's thread or turn, or in what its coroutines started."""

from __future__ import annotations

import _thread

from .base import CURRENT_AGENT, EngineAgent
from .virtual import locks
from .virtual.actor import VirtualThread


def current_agent() -> EngineAgent | None:
    """Return the agent on whose behalf the caller runs; None if there is no agent or it is not known."""
    turn = locks.ACTORS.get(_thread.get_ident())
    return turn.agent if isinstance(turn, VirtualThread) else CURRENT_AGENT.get()
