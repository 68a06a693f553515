"""The recorder: moves what agents noted to the records and the log while the run continues.

Agents append to lists of their own. The recorder drains all of them several times a second, keeps the batch as
columns and writes it to the log.

Guarantee: what an agent noted reaches the log within half a second. The recorder is a thread, and agents that use
the processor without a pause would starve it of the GIL. So every agent compares the end of each operation with
``flush_deadline``, and past that waits for the flush. Agents that leave the recorder time to work never wait. A
disk that does not answer holds the agents back once, for half a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from pytest_nos_stress._internal.instrument import Condition, Event, Lock, Thread, perf_counter, perf_counter_ns
from pytest_nos_stress.engines.base import INTERNAL_THREADS
from pytest_nos_stress.results.records import Batch, Records

from .agent import Agent
from .background import BackgroundErrors
from .collector import Collector

_INTERVAL: Final = 0.1
_FLUSH_WITHIN_NS: Final = 100_000_000
_LONGEST_WAIT_NS: Final = 500_000_000
_WOKEN_AT_ONCE: Final = 4
_LAST_FLUSH_TIMEOUT: Final = 30
_NEVER: Final = 1 << 62


def _ignore(late: float) -> None:
    """Do nothing after a flush."""


class Log(Protocol):
    """Receives batches in the order of their ends."""

    def write(self, batch: Batch) -> None: ...

    def write_entries(self, entries: Sequence[tuple[int, str]]) -> None: ...


class Recorder:
    """Collects what agents note, in a thread of its own.

    ``backpressure``: agents wait while the recorder is late. Real threads must; agents that run one at a time do
    not have to.
    """

    def __init__(self, collector: Collector, log: Log, records: Records, *, backpressure: bool = True) -> None:
        self.flush_deadline = 0
        self.collector = collector
        self._holds_agents_back = backpressure
        self._log = log
        self._records = records
        self._released = Condition()
        self._draining = Lock()
        self._on_flush: Callable[[float], None] = _ignore
        self._background_errors: BackgroundErrors | None = None
        self._is_in_callback = False
        self.waited_ns = 0
        """Nanoseconds that agents have waited for the recorder, summed over the agents."""
        self._closing = Event()
        self._ended = Event()
        self._thread = Thread(target=self._work, name="stress recorder")
        self.failure: BaseException | None = None
        """The exception that ended the recorder; its run must not pass."""

    @contextmanager
    def recording(
        self,
        agents: Sequence[Agent],
        on_flush: Callable[[float], None] = _ignore,
        background_errors: BackgroundErrors | None = None,
    ) -> Iterator[None]:
        """Record what the agents note, and the background errors.

        ``on_flush`` is called after each flush, with its lateness in seconds.
        """
        self._on_flush = on_flush
        self._background_errors = background_errors
        self.collector.attach(agents)
        self._release()
        try:
            self._thread.start()
            yield
        finally:
            self._closing.set()
            self._finish()

    @property
    def is_running(self) -> bool:
        return self._thread.ident is not None and not self._ended.is_set()

    def evaluate_up_to_date(self, evaluate: Callable[[], bool]) -> bool:
        """Drain all agents, then return the value of ``evaluate``. Any agent may call this."""
        with self._draining:
            self._drain()
            return evaluate()

    def _finish(self) -> None:
        """Wait for the last flush. Ctrl-C and alarms wait too: without the flush the files would be incomplete."""
        interrupt: BaseException | None = None
        deadline = perf_counter() + _LAST_FLUSH_TIMEOUT
        # Not `Thread.join`: interrupted, it takes a running thread for an ended one up to Python 3.12.
        while self.is_running and perf_counter() < deadline:
            try:
                self._ended.wait(deadline - perf_counter())
            except BaseException as error:
                interrupt = error
        if self.is_running:
            self.failure = TimeoutError(f"the disk has not answered for {_LAST_FLUSH_TIMEOUT} s")
        elif self._thread.ident is not None:
            self._thread.join()
        if interrupt is not None:
            raise interrupt

    def wait_for_flush(self, now: int) -> int:
        """Called by an agent that is past the flush deadline: wait if the recorder is late.

        Return the next deadline. Each agent that continues wakes the next one: agents that use the processor then
        wake one at a time, and the recorder soon runs again.
        """
        began = perf_counter_ns()
        with self._released:
            while (late := perf_counter_ns() - self.flush_deadline) >= 0:
                if late > _LONGEST_WAIT_NS and not self._is_in_callback:
                    self.flush_deadline = _NEVER
                    break
                self._released.wait(_LONGEST_WAIT_NS / 1e9)
            self._released.notify()
            self.waited_ns += perf_counter_ns() - began
            return min(self.flush_deadline, now + _FLUSH_WITHIN_NS)

    def _work(self) -> None:
        ident = threading.get_ident()
        INTERNAL_THREADS.add(ident)
        try:
            due = perf_counter() + _INTERVAL
            while not self._closing.wait(_INTERVAL):
                late = max(0.0, perf_counter() - due)
                self._flush(late)
                due = perf_counter() + _INTERVAL
            self._flush(0.0)
        except BaseException as error:
            self.failure = error
        finally:
            self._release(_NEVER)
            self._ended.set()
            INTERNAL_THREADS.discard(ident)

    def _flush(self, late: float) -> None:
        """Drain what the agents noted, and call ``on_flush`` while agents without a pause wait.

        Otherwise the callback would starve, and the agents would note more than is ever drained.
        """
        with self._draining:
            self._drain()
        self._is_in_callback = True
        try:
            self._on_flush(late)
        finally:
            self._is_in_callback = False
        self._release()

    def _drain(self) -> None:
        """Take what the agents noted, keep it and log it."""
        batch = self.collector.take()
        if batch is not None:
            self._records.append(batch)
            self._log.write(batch)
        errors = [] if self._background_errors is None else self._background_errors.drain()
        if errors:
            self._records.background_errors += [noted.error for noted in errors]
            self._log.write_entries([(noted.error.at, noted.as_text()) for noted in errors])

    def _release(self, flush_deadline: int | None = None) -> None:
        """Let the agents that wait continue, up to the next deadline."""
        with self._released:
            if flush_deadline is None:
                flush_deadline = perf_counter_ns() + _FLUSH_WITHIN_NS if self._holds_agents_back else _NEVER
            self.flush_deadline = flush_deadline
            self._released.notify(_WOKEN_AT_ONCE)
