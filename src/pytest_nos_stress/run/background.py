"""Background errors of a run: exceptions in threads, tasks, callbacks and finalizers that the target left behind.

They are errors of the run although no operation raised them. ``background_hooks`` finds them. An exception is
noted from any thread, even in the middle of a garbage collection, so ``note`` takes no lock. The recorder drains
the notes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from pytest_nos_stress._internal.instrument import perf_counter, sleep
from pytest_nos_stress._internal.text import error_message, error_name, escape_controls
from pytest_nos_stress._internal.tracebacks import error_traceback
from pytest_nos_stress.engines.current_agent import current_agent
from pytest_nos_stress.errors import Abandoned
from pytest_nos_stress.faults.errors import is_injected
from pytest_nos_stress.results.background import BackgroundError
from pytest_nos_stress.results.statistics_types import ErrorTypeStatistics

from .returned_values import unseen_exception

_NO_ERRORS: Final = (Abandoned, asyncio.CancelledError, GeneratorExit)
_MOST_THREADS: Final = 5


class Source(NamedTuple):
    """Place at which an exception was raised: a kind (``thread``, ``asyncio task``), and a name if it has one."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else self.kind


class OriginAgent(Protocol):
    """An agent, as the origin of a thread or task."""

    name: str

    @property
    def background_errors(self) -> BackgroundErrors: ...

    def current_index(self) -> int | None:
        """Return the index of the operation that is performed; None if none is."""

    def task_at(self, index: int) -> str:
        """Return the task of an operation."""


class Origin:
    """The operation in which a target started a thread or a task: its agent and its index.

    It does not keep the agent, and so the run, alive.
    """

    __slots__ = ("_agent", "_index")

    def __init__(self, agent: OriginAgent, index: int | None) -> None:
        self._agent = weakref.ref(agent)
        self._index = index

    @property
    def run(self) -> BackgroundErrors | None:
        """The background errors of the agent's run; None if the run is over and forgotten."""
        agent = self._agent()
        return None if agent is None else agent.background_errors

    def names(self) -> tuple[str | None, str | None]:
        """Return the names of agent and task, each None if it is not known."""
        agent = self._agent()
        if agent is None:
            return None, None
        return agent.name, None if self._index is None else agent.task_at(self._index)


class NotedError(NamedTuple):
    """A noted exception, with agent and task in ``error``."""

    error: BackgroundError
    source: Source
    type: str
    message: str
    traceback: str
    is_error: bool

    def as_text(self) -> str:
        """Return the error as an entry of the log."""
        whose = "background error" if self.error.agent is None else f"{self.error.agent} left a background error"
        return f"{whose} in {self.source}: {self.type}: {self.message}"


class BackgroundErrors:
    """Background errors of one run. ``now_ns`` is the engine's clock."""

    def __init__(self, now_ns: Callable[[], int], expected_errors: tuple[type[BaseException], ...]) -> None:
        self.expected_counts: Counter[str] = Counter()
        self.still_running: list[str] = []
        """Names of threads that operations started and that run after the end of the run."""
        self._now_ns = now_ns
        self._expected_errors = expected_errors
        self._noted: deque[NotedError] = deque()
        self._in_progress: list[None] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pending: dict[int, tuple[Any, Origin | None]] = {}
        self._samples: dict[tuple[str, str], NotedError] = {}

    def note(self, error: BaseException, source: Source, origin: Origin | None) -> None:
        """Note an exception that nobody has handled, unless it is an injected fault or only ends a thread."""
        with self.noting():
            if issubclass(type(error), _NO_ERRORS) or is_injected(error) or _only_ends_a_thread(error):
                return
            agent, task = (None, None) if origin is None else origin.names()
            name = error_name(error)
            is_known = (name, source.kind) in self._samples
            self._noted.append(
                NotedError(
                    BackgroundError(self._now_ns(), agent, task),
                    source,
                    name,
                    error_message(error),
                    "" if is_known else error_traceback(error),
                    not issubclass(type(error), self._expected_errors),
                )
            )

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Let the run's end wait while the block runs."""
        self._in_progress.append(None)
        try:
            yield
        finally:
            self._in_progress.pop()

    def wait_for_notes(self, patience: float) -> None:
        """Wait until other threads have noted what they are about to note."""
        deadline = perf_counter() + patience
        while self._in_progress and perf_counter() < deadline:
            sleep(0.001)

    def watch(self, future: Any) -> None:
        """Note the exception of a future that an operation has returned and that is not done yet."""
        agent: Any = current_agent()
        origin = None if agent is None else Origin(agent, agent.current_index())
        self._pending[id(future)] = future, origin
        if isinstance(future, concurrent.futures.Future):
            future.add_done_callback(self._judge_future)

    def judge_futures(self, patience: float) -> None:
        """Wait for the futures that operations have returned. Note their exceptions, and those that do not end."""
        futures = [future for future, _ in list(self._pending.values())]
        concurrent.futures.wait([f for f in futures if isinstance(f, concurrent.futures.Future)], patience)
        for future in futures:
            self._judge_future(future)

    def _judge_future(self, future: Any) -> None:
        """Note the exception of a future that an operation has returned, unless another thread does."""
        with self.noting():
            pending = self._pending.pop(id(future), None)
            if pending is None:
                return
            error: BaseException | None = TimeoutError(
                "the task returned a future that was pending when the run ended; must wait for it in the task"
            )
            if future.done():
                error = unseen_exception(future)
            if error is not None:
                self.note(error, Source("future", type(future).__qualname__), pending[1])

    def drain(self) -> list[NotedError]:
        """Return the errors since the last call, without expected ones. Only the recorder calls this."""
        errors = []
        while self._noted:
            noted = self._noted.popleft()
            if noted.is_error:
                key = (noted.type, noted.source.kind)
                self._counts[key] += 1
                self._samples.setdefault(key, noted)
                errors.append(noted)
            else:
                self.expected_counts[noted.type] += 1
        return errors

    @property
    def notes(self) -> list[str]:
        """Names of the threads that have not ended with the run, as a note; empty if all have ended."""
        named = Counter(self.still_running).most_common()
        if not named:
            return []
        listed = [f"{count} x {name!r}" if count > 1 else repr(name) for name, count in named[:_MOST_THREADS]]
        more = ["..."] if len(named) > _MOST_THREADS else []
        return [f"threads that operations started still run: {escape_controls(', '.join(listed + more))}"]

    @property
    def total(self) -> int:
        return self._counts.total()

    def error_types(self) -> list[ErrorTypeStatistics]:
        """Return the errors by type of exception and kind of source."""
        return [
            {
                "count": count,
                "type": noted.type,
                "message": noted.message,
                "source": str(noted.source),
                "agent": noted.error.agent,
                "task": noted.error.task,
                "traceback": noted.traceback,
            }
            for noted, count in ((self._samples[key], count) for key, count in self._counts.items())
        ]


def _only_ends_a_thread(error: BaseException) -> bool:
    """Return True for ``sys.exit()`` without a code, with which a thread ends itself as if it returned."""
    return isinstance(error, SystemExit) and not error.code
