"""Locks that know the virtual engine's agents: what ``threading`` makes while stress tests are on.

Problem: under virtual time one agent runs at a time. An agent that blocks in a lock's C code would keep its
turn for ever, because the agent that holds the lock would never get one.

Choice: while stress tests are on, ``threading.Lock`` and ``threading.RLock`` make locks that ask first whether
the calling thread is an agent's. An agent that would block gives its turn away until the lock is free; every
other thread blocks in the real lock, which is inside. Conditions, events, semaphores, barriers and queues
are made of these locks by the standard library, so they need no code here. Their deadlines are read from a
clock that gives an agent its virtual time (``queue.get(timeout=...)``).

Guarantees: mutual exclusion is always the real lock's; without a virtual run in the process a lock does what
the real one does, at the cost of one Python call; what is not made here (locks of modules imported before,
``queue.SimpleQueue``, C extensions) blocks as ever.

Source of the idea: gevent's and Trio's tests replace blocking primitives by ones that yield to a scheduler;
there they replace threads, here the threads stay.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Protocol

from pytest_nos_stress.engines.base import INTERNAL_THREADS

from . import affinity

_FOREVER: Final = -1.0
_FOREIGN_HOLDS: Final = 0.02


class Turn(Protocol):
    """An agent's turn, as the locks see it: how it is given away until a lock may be free."""

    def wait_for(self, lock: CooperatingLock, timeout_ns: int | None) -> None:
        """Return when the lock was released or the timeout (virtual time) is over."""

    def wake(self, wait: int) -> None:
        """From any thread: the lock for which the agent waits in this one of its waits was released."""

    def now_ns(self) -> int:
        """Virtual time."""


ACTORS: Final[dict[int, Turn]] = {}
"""The agents in virtual runs, by the thread they are in. Empty without such a run."""
FOREIGN: Final[set[int]] = set()
"""Threads that are no agent's and used one of these locks during a virtual run: they may wake an agent."""
BLOCKED: Final[set[int]] = set()
"""Those of them that wait for one of these locks, without a timeout: they wake nobody."""

_get_ident = _thread.get_ident
_real_monotonic = time.monotonic


class CooperatingLock:
    """``threading.Lock``, with turns given away instead of blocking under virtual time.

    Among agents it goes from who releases it to who has waited longest, whoever else wants it at that instant.
    """

    __slots__ = ("__weakref__", "_lock", "heir", "owner", "waiters")

    _make: Callable[[], Any] = _thread.allocate_lock

    def __init__(self) -> None:
        self._lock = type(self)._make()
        self.waiters: deque[tuple[Turn, int]] = deque()
        """Agents that wait for it, and in which of their waits."""
        self.owner: Turn | None = None
        """The agent that holds it; None where nobody or a thread that is no agent's does."""
        self.heir: Turn | None = None
        """The agent that takes it next, woken but not yet in turn."""

    def acquire(self, blocking: bool = True, timeout: float = _FOREVER) -> bool:
        turn = ACTORS.get(_get_ident()) if ACTORS else None
        if turn is None:
            return self._acquire_really(blocking, timeout)
        if not blocking or timeout != _FOREVER:
            _thread.allocate_lock().acquire(blocking, timeout)  # raises what the real lock raises
        if self._take(turn):
            return True
        if not blocking or timeout == 0:
            return False
        try:
            return self._wait_in_turn(turn, None if timeout == _FOREVER else max(1, round(timeout * 1e9)))
        except BaseException:
            self._renounce(turn)
            raise

    def _acquire_really(self, blocking: bool, timeout: float) -> bool:
        """As a thread that is no agent's: blocks in the real lock."""
        ident = _get_ident()
        if blocking and timeout == _FOREVER and not self._lock.acquire(False):
            BLOCKED.add(ident)
            try:
                self._lock.acquire()
            finally:
                BLOCKED.discard(ident)
            got = True
        elif blocking and timeout == _FOREVER:
            got = True
        else:
            got = bool(self._lock.acquire(blocking, timeout))
        if ACTORS and ident not in INTERNAL_THREADS:
            FOREIGN.add(ident)
        return got

    def _wait_in_turn(self, turn: Turn, timeout_ns: int | None) -> bool:
        deadline = None if timeout_ns is None else turn.now_ns() + timeout_ns
        while not self._take(turn, patient=True):
            left = None if deadline is None else deadline - turn.now_ns()
            if left is not None and left <= 0:
                self._renounce(turn)
                return False
            turn.wait_for(self, left)
        return True

    def _take(self, turn: Turn, *, patient: bool = False) -> bool:
        """Take the lock if it is free. One that a thread of the target holds is soon free, in real time."""
        if self.heir is not None and self.heir is not turn:
            return False
        got = bool(self._lock.acquire(False))
        if not got and patient and self.owner is None:
            got = bool(self._lock.acquire(True, _FOREIGN_HOLDS))
        if got:
            self.owner, self.heir = turn, None
        return got

    def is_free_for(self, turn: Turn) -> bool:
        """Whether there is nothing to wait for."""
        return (self.heir is None or self.heir is turn) and not self.locked()

    def _renounce(self, turn: Turn) -> None:
        """The agent does not wait any more: what it was to have goes to the next."""
        if self.heir is turn:
            self.heir = None
            self._wake_next()

    def release(self) -> None:
        owner, self.owner = self.owner, None
        try:
            self._lock.release()
        except BaseException:
            self.owner = owner
            raise
        self._released()

    def _released(self) -> None:
        if ACTORS and (ident := _get_ident()) not in ACTORS and ident not in INTERNAL_THREADS:
            FOREIGN.add(ident)
        if self.waiters:
            self._wake_next()

    def _wake_next(self) -> None:
        try:
            self.heir, wait = self.waiters.popleft()
        except IndexError:
            return
        self.heir.wake(wait)

    def locked(self) -> bool:
        return bool(self._lock.locked())

    def _is_owned(self) -> bool:
        """For ``Condition``, which would else try to take the lock; whoever has it may be meant."""
        turn = ACTORS.get(_get_ident()) if ACTORS else None
        return self.locked() if turn is None else self.owner is turn

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self.waiters.clear()
        self.owner = self.heir = None
        self._lock._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._lock!r}>"


class CooperatingRLock(CooperatingLock):
    """``threading.RLock``, likewise."""

    __slots__ = ()

    _make = _thread.RLock

    def release(self) -> None:
        self._lock.release()
        if not self._lock._is_owned():
            self.owner = None
            self._released()

    def locked(self) -> bool:
        if self._lock._is_owned():
            return True
        if self._lock.acquire(False):
            self._lock.release()
            return False
        return True

    # What threading.Condition asks of a lock that can be held several times.

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def _release_save(self) -> Any:
        state = self._lock._release_save()
        self.owner = None
        self._released()
        return state

    def _acquire_restore(self, state: Any) -> None:
        self.acquire()
        self._lock.release()
        self._lock._acquire_restore(state)

    def _recursion_count(self) -> int:
        return int(self._lock._recursion_count())


def monotonic() -> float:
    """``time.monotonic``, in an agent's thread its virtual time."""
    turn = ACTORS.get(_get_ident()) if ACTORS else None
    return _real_monotonic() if turn is None else turn.now_ns() / 1e9


_START_OF_THREAD: Final = threading.Thread.start.__code__


def _waiter() -> Any:
    """The lock on which ``Condition.wait`` blocks.

    A thread that an agent starts is waited for in real time: its start is no event of the scenario.
    """
    caller = sys._getframe(3) if ACTORS else None
    return _thread.allocate_lock() if caller and caller.f_code is _START_OF_THREAD else CooperatingLock()


def _on_all_processors(start: Callable[..., Any]) -> Callable[..., Any]:
    """A thread that an agent starts is the target's: it does not stay on the processor of the agents."""

    def started(*args: Any, **kwargs: Any) -> Any:
        if _get_ident() not in ACTORS:
            return start(*args, **kwargs)
        with affinity.all_cpus():
            return start(*args, **kwargs)

    return started


_START: Final = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
_MADE_BY_THREADING: Final[dict[str, Any]] = {
    "Lock": CooperatingLock,
    "RLock": CooperatingRLock,
    "_allocate_lock": _waiter,
    "_time": monotonic,
    _START: _on_all_processors(getattr(threading, _START)),
}
_uses = 0
_originals: dict[str, Any] = {}
_switch = _thread.allocate_lock()


def switch_on() -> None:
    """From now on ``threading`` makes cooperating locks; as many ``switch_off()`` end it."""
    global _uses
    with _switch:
        _uses += 1
        if _uses > 1:
            return
        for name, made in _MADE_BY_THREADING.items():
            _originals[name] = getattr(threading, name)
            setattr(threading, name, made)
        queue.time = monotonic  # type: ignore[attr-defined]


def switch_off() -> None:
    """Undo one ``switch_on()``. Locks made meanwhile stay what they are."""
    global _uses
    with _switch:
        _uses -= 1
        if _uses:
            return
        for name, original in _originals.items():
            setattr(threading, name, original)
        queue.time = _real_monotonic  # type: ignore[attr-defined]


@contextmanager
def cooperating_locks() -> Iterator[None]:
    """Locks made in the block, by whatever code, know the agents of the virtual engine.

    Under ``pytest --stress`` all of a session is such a block. In a script, make the target in one.
    """
    switch_on()
    try:
        yield
    finally:
        switch_off()
