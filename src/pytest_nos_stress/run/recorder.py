"""The recorder: from what agents note to records and the log, while the run goes on.

Agents append to lists of their own. The recorder empties all of them several times a second, keeps the batch
as columns and has it logged.

Guarantee: what an agent has noted is with the log within half a second. The recorder is a thread, and agents in
threads that use the processor without a pause would starve it of the GIL: so each looks at ``horizon`` after an
operation, and past it waits until the recorder has had its turn. Agents that leave the recorder time to work
never wait, and a disk that does not answer holds the others up once, for half a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from pytest_nos_stress.engines.virtual.locks import INTERNAL
from pytest_nos_stress.results.records import Batch, Records

from .agent import Agent
from .collector import Collector

_INTERVAL: Final = 0.1
_HORIZON_NS: Final = 100_000_000
_PATIENCE_NS: Final = 500_000_000
_WOKEN_AT_ONCE: Final = 4
_LAST_TURN: Final = 30
_NEVER: Final = 1 << 62


def _nothing(late: float) -> None:
    """Where nobody looks."""


class Log(Protocol):
    """Where batches are logged."""

    def write(self, batch: Batch) -> None: ...


class Recorder:
    """Collects what agents note, in a thread of its own.

    ``paced`` is whether agents wait for it: real threads do, agents of which one runs at a time need not.
    """

    def __init__(self, collector: Collector, log: Log, records: Records, *, paced: bool = True) -> None:
        self.horizon = 0
        self.collector = collector
        self._paced = paced
        self._log = log
        self._records = records
        self._turn = threading.Condition()
        self._at_work = threading.Lock()
        self._look: Callable[[float], None] = _nothing
        self._is_looking = False
        self.waited_ns = 0
        """How long agents have waited for the recorder, added up."""
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stress recorder", daemon=True)
        self.failure: BaseException | None = None
        """What the recorder could not do; the run that it belongs to must not pass."""

    @contextmanager
    def recording(self, agents: Sequence[Agent], look: Callable[[float], None] = _nothing) -> Iterator[None]:
        """Record what the agents note; ``look`` is called after each turn, with the seconds that it was late."""
        self._look = look
        self.collector.attach(agents)
        self._let_go()
        try:
            self._thread.start()
            yield
        finally:
            self._closing.set()
            self._finish()

    @property
    def is_at_work(self) -> bool:
        return self._thread.ident is not None and not self._ended.is_set()

    def up_to_date(self, judge: Callable[[], bool]) -> bool:
        """What a judge says of the records, with all in them that agents have noted by now. From their threads."""
        with self._at_work:
            self._take_in()
            return judge()

    def _finish(self) -> None:
        """Wait for the last turn. Ctrl-C meanwhile waits too: without that turn the files would not be whole."""
        interrupt = None
        deadline = time.monotonic() + _LAST_TURN
        # Not `Thread.join`: interrupted, it takes a running thread for an ended one up to Python 3.12.
        while self.is_at_work and time.monotonic() < deadline:
            try:
                self._ended.wait(deadline - time.monotonic())
            except KeyboardInterrupt as error:
                interrupt = error
        if self.is_at_work:
            self.failure = TimeoutError(f"the disk has not answered for {_LAST_TURN} s")
        elif self._thread.ident is not None:
            self._thread.join()
        if interrupt is not None:
            raise interrupt

    def catch_up(self, now: int) -> int:
        """Called by an agent that has come to where it should look up: wait if the recorder is late.

        Returns when to look again. Each agent that goes on wakes the next: agents that use the processor then
        wake one at a time, as it comes free, and the recorder is soon in turn again; others wake at once.
        """
        began = time.perf_counter_ns()
        with self._turn:
            while (late := time.perf_counter_ns() - self.horizon) >= 0:
                if late > _PATIENCE_NS and not self._is_looking:
                    self.horizon = _NEVER
                    break
                self._turn.wait(_PATIENCE_NS / 1e9)
            self._turn.notify()
            self.waited_ns += time.perf_counter_ns() - began
            return min(self.horizon, now + _HORIZON_NS)

    def _work(self) -> None:
        ident = threading.get_ident()
        INTERNAL.add(ident)
        try:
            due = time.perf_counter() + _INTERVAL
            while not self._closing.wait(_INTERVAL):
                late = max(0.0, time.perf_counter() - due)
                self._take_turn(late)
                due = time.perf_counter() + _INTERVAL
            self._take_turn(0.0)
        except BaseException as error:
            self.failure = error
        finally:
            self._let_go(_NEVER)
            self._ended.set()
            INTERNAL.discard(ident)

    def _take_turn(self, late: float) -> None:
        """Take in what the agents noted, and look at it while those that go on without a pause wait.

        Otherwise a look would starve as the recorder would, and they would note more than is ever taken in.
        """
        with self._at_work:
            self._take_in()
        self._is_looking = True
        try:
            self._look(late)
        finally:
            self._is_looking = False
        self._let_go()

    def _take_in(self) -> None:
        """Take what the agents noted, keep it and log it."""
        batch = self.collector.take()
        if batch is not None:
            self._records.append(batch)
            self._log.write(batch)

    def _let_go(self, horizon: int | None = None) -> None:
        """Let the agents that wait go on, up to the next horizon."""
        with self._turn:
            self.horizon = horizon or (time.perf_counter_ns() + _HORIZON_NS if self._paced else _NEVER)
            self._turn.notify(_WOKEN_AT_ONCE)
