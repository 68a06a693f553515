"""Cooperating locks, which ``threading`` makes while stress tests are on. They know the virtual engine's agents.

Problem: in virtual time one agent runs at a time. An agent that blocks in a lock's C code would keep its turn
forever: the agent that holds the lock would never get a turn to release it.

Solution: while stress tests are on, ``threading.Lock`` and ``threading.RLock`` make locks that first check if the
calling thread belongs to an agent. An agent that would block gives its turn away until the lock is free. Every
other thread blocks in the real lock inside. The standard library builds conditions, events, semaphores, barriers
and queues from these locks, so they need no code here. Their timeouts (``queue.get(timeout=...)``) use a clock
that returns virtual time to an agent.

Guarantees: mutual exclusion is always that of the real lock. While no virtual run is in progress, a lock behaves
like the real lock, at the cost of one Python call. Locks that are not made here (those of modules imported before,
``queue.SimpleQueue``, C extensions) still block.

Source of the idea: gevent and the tests of Trio replace blocking primitives with ones that yield to a scheduler.
They replace threads; here the threads stay.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Protocol

from pytest_nos_stress._internal.instrument import perf_counter
from pytest_nos_stress.engines.base import INTERNAL_THREADS

from . import affinity

_FOREVER: Final = -1.0
_MAX_FOREIGN_HOLD: Final = 0.02


class Turn(Protocol):
    """An agent's turn, as the locks use it: it is given away until a lock may be free."""

    def wait_for(self, lock: CooperatingLock, timeout_ns: int | None) -> None:
        """Wait until the lock is released or the timeout (virtual time) is over."""

    def wake(self, wait: int) -> None:
        """End the agent's wait with this number, because its lock was released. Can be called from any thread."""

    def now_ns(self) -> int:
        """Return virtual time in ns."""


ACTORS: Final[dict[int, Turn]] = {}
"""The agents of virtual runs, by the identifier of their thread. Empty while no such run is in progress."""
FOREIGN: Final[set[int]] = set()
"""Foreign threads (not an agent's) that used one of these locks during a virtual run. They may wake an agent."""
BLOCKED: Final[set[int]] = set()
"""Foreign threads that wait for one of these locks without a timeout. They cannot wake an agent."""

_get_ident = _thread.get_ident


class CooperatingLock:
    """A ``threading.Lock`` that makes an agent give its turn away instead of blocking.

    When it is released, the agent that has waited longest gets it, even if another agent wants it at that instant.
    """

    __slots__ = ("__weakref__", "_lock", "next_owner", "owner", "waiters")

    _make: Callable[[], Any] = _thread.allocate_lock

    def __init__(self) -> None:
        self._lock = type(self)._make()
        self.waiters: deque[tuple[Turn, int]] = deque()
        """Agents that wait for the lock, each with the number of its wait."""
        self.owner: Turn | None = None
        """The agent that holds the lock; None if it is free or a foreign thread holds it."""
        self.next_owner: Turn | None = None
        """The agent that gets the lock next. It is woken, but does not have its turn yet."""

    def acquire(self, blocking: bool = True, timeout: float = _FOREVER) -> bool:
        turn = ACTORS.get(_get_ident()) if ACTORS else None
        if turn is None:
            return self._acquire_real_lock(blocking, timeout)
        if not blocking or timeout != _FOREVER:
            _thread.allocate_lock().acquire(blocking, timeout)  # raises what the real lock raises
        if self._try_acquire(turn):
            return True
        if not blocking or timeout == 0:
            return False
        try:
            return self._wait_in_turn(turn, None if timeout == _FOREVER else max(1, round(timeout * 1e9)))
        except BaseException:
            self._give_up_waiting(turn)
            raise

    def _acquire_real_lock(self, blocking: bool, timeout: float) -> bool:
        """Acquire the real lock for a foreign thread, which blocks."""
        ident = _get_ident()
        if blocking and timeout == _FOREVER and not self._lock.acquire(False):
            BLOCKED.add(ident)
            try:
                self._lock.acquire()
            finally:
                BLOCKED.discard(ident)
            acquired = True
        elif blocking and timeout == _FOREVER:
            acquired = True
        else:
            acquired = bool(self._lock.acquire(blocking, timeout))
        if ACTORS and ident not in INTERNAL_THREADS:
            FOREIGN.add(ident)
        return acquired

    def _wait_in_turn(self, turn: Turn, timeout_ns: int | None) -> bool:
        deadline = None if timeout_ns is None else turn.now_ns() + timeout_ns
        while not self._try_acquire(turn, may_block=True):
            remaining_ns = None if deadline is None else deadline - turn.now_ns()
            if remaining_ns is not None and remaining_ns <= 0:
                self._give_up_waiting(turn)
                return False
            turn.wait_for(self, remaining_ns)
        return True

    def _try_acquire(self, turn: Turn, *, may_block: bool = False) -> bool:
        """Acquire the lock if it is free, and return True if so.

        ``may_block``: wait a short real time for a foreign thread to release the lock.
        """
        if self.next_owner is not None and self.next_owner is not turn:
            return False
        acquired = bool(self._lock.acquire(False))
        if not acquired and may_block and self.owner is None:
            acquired = bool(self._lock.acquire(True, _MAX_FOREIGN_HOLD))
        if acquired:
            self.owner, self.next_owner = turn, None
        return acquired

    def is_free_for(self, turn: Turn) -> bool:
        """Return True if the agent does not have to wait for the lock."""
        return (self.next_owner is None or self.next_owner is turn) and not self.locked()

    def _give_up_waiting(self, turn: Turn) -> None:
        """Stop waiting. If the agent was the next owner, the lock goes to the next waiter."""
        if self.next_owner is turn:
            self.next_owner = None
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
            self.next_owner, wait = self.waiters.popleft()
        except IndexError:
            return
        self.next_owner.wake(wait)

    def locked(self) -> bool:
        return bool(self._lock.locked())

    def _is_owned(self) -> bool:
        """Return True if the caller may use a ``Condition`` of this lock.

        Without this method ``Condition`` would try to acquire the lock. A foreign thread may use a lock that any
        thread holds.
        """
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
        self.owner = self.next_owner = None
        self._lock._at_fork_reinit()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._lock!r}>"


class CooperatingRLock(CooperatingLock):
    """A ``threading.RLock`` that makes an agent give its turn away instead of blocking."""

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

    # threading.Condition needs these methods of a lock that can be acquired several times.

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
    """Return ``time.monotonic()``, or the virtual time in seconds if the calling thread is an agent's."""
    turn = ACTORS.get(_get_ident()) if ACTORS else None
    return perf_counter() if turn is None else turn.now_ns() / 1e9


_START_OF_THREAD: Final = threading.Thread.start.__code__  # noqa: TID251 - of the target's threads


def _waiter() -> Any:
    """Return the lock on which ``Condition.wait`` blocks.

    An agent that starts a thread waits in real time for the thread to start, so that this wait is not a turn.
    """
    caller = sys._getframe(3) if ACTORS else None
    return _thread.allocate_lock() if caller and caller.f_code is _START_OF_THREAD else CooperatingLock()


def _on_all_processors(start: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that starts a thread, so that threads started by an agent can use all processors."""

    def started(*args: Any, **kwargs: Any) -> Any:
        if _get_ident() not in ACTORS:
            return start(*args, **kwargs)
        with affinity.all_cpus():
            return start(*args, **kwargs)

    return started


_START: Final = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
_REPLACEMENTS: Final[dict[str, Any]] = {
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
    """Let ``threading`` make cooperating locks until ``switch_off()`` is called as often as this function."""
    global _uses
    with _switch:
        _uses += 1
        if _uses > 1:
            return
        for name, replacement in _REPLACEMENTS.items():
            _originals[name] = getattr(threading, name)
            setattr(threading, name, replacement)
        _originals["queue"] = queue.time  # type: ignore[attr-defined]
        queue.time = monotonic  # type: ignore[attr-defined]


def switch_off() -> None:
    """Undo one ``switch_on()``. Locks made in the meantime still work."""
    global _uses
    with _switch:
        _uses -= 1
        if _uses:
            return
        queue.time = _originals.pop("queue")  # type: ignore[attr-defined]
        for name, original in _originals.items():
            setattr(threading, name, original)


@contextmanager
def cooperating_locks() -> Iterator[None]:
    """Let ``threading`` make cooperating locks in the block, which know the agents of the virtual engine.

    Under ``pytest --stress`` the whole session is such a block. In a script, create the target inside a block.
    """
    switch_on()
    try:
        yield
    finally:
        switch_off()
