"""An agent: a named actor that performs its plan, one operation after another, and notes the outcomes.

This is the hot path of a run. An agent shares nothing with other agents while it performs. It appends the start
and the end of each operation to two lists of its own, and the recorder drains them. The collector computes
everything else (outcome, think time, latency) from the plan afterwards, a batch at a time. The agent notes the
operations that did not end as planned beside the lists.

Guarantees: an exception of a task, of any type (``SystemExit`` and ``KeyboardInterrupt`` too), is the failure of
its operation, and the agent continues. ``starts`` is longer than ``ends`` exactly while a task is performed.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pytest_nos_stress._internal.outcome import FAILED, MISSING, SUCCESS
from pytest_nos_stress._internal.text import error_message, error_name
from pytest_nos_stress._internal.tracebacks import error_traceback
from pytest_nos_stress.errors import Abandoned, MissingDataError
from pytest_nos_stress.faults.errors import InjectedFault, is_injected
from pytest_nos_stress.faults.mix import PlannedFault
from pytest_nos_stress.faults.suspension import without_faults, without_faults_async
from pytest_nos_stress.scenario.schedule import AgentSchedule, PlanBlock

from .context import Recovery, RunContext
from .notes import Cause, ErrorSample, UnplannedEntry, UnplannedOutcome
from .returned_values import as_awaitable

if TYPE_CHECKING:
    from pytest_nos_stress.faults.windows import OpenWindows
    from pytest_nos_stress.market import Market

    from .background import BackgroundErrors

Operations: TypeAlias = Generator[Any, Any, None]
_PIECE: Final = 512


class Backpressure(Protocol):
    """Holds agents back while the recorder is late."""

    flush_deadline: int
    """Time of the engine's clock after which an agent waits for the recorder."""

    def wait_for_flush(self, now: int) -> int:
        """Wait for the recorder if it is late, and return the next deadline."""


class Agent:
    """One agent of a run."""

    def __init__(self, run: RunContext, name: str, number: int, backpressure: Backpressure) -> None:
        self.name = name
        self.number = number
        self.context: Any = None
        self.taken = 0
        """Number of operations that the recorder has taken from the buffers below."""
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.blocks: deque[PlanBlock] = deque()
        self.unplanned_outcomes: deque[UnplannedOutcome] = deque()
        self.unplanned_entries: deque[UnplannedEntry] = deque()
        self.entered = -1
        self.fault_switches: deque[tuple[int, bool]] = deque()
        """Operations from which planned faults are active (True) or not; active before the first entry."""
        self.fault_counts: Counter[str] = Counter()
        """Faults that no operation's plan has, by name: faults of rate limits, and of later attempts.

        Negative for planned faults that operations did not come to.
        """
        self.retries = 0
        self.samples: dict[str, ErrorSample] = {}
        self.in_session_since: int | None = None
        self.in_session = "entering per_agent"
        self.recovered_from: tuple[int, int] | None = None
        """Index of the first operation after the plan, and the time at which the agent continued with it."""
        self._performed = 0
        self._run = run
        self._backpressure = backpressure
        self._block: PlanBlock | None = None
        self._faults_allowed = True
        self._schedule = AgentSchedule(
            run.scenario, name, faults_at_calls=run.faults_at_calls, network_at_calls=run.network_at_calls
        )
        self.tie_breakers = self._schedule.tie_breakers()
        # Plan the first block before the start: hundreds of threads that begin by planning would delay each other.
        blocks = self._schedule.blocks()
        self._plan = itertools.chain(list(itertools.islice(blocks, 1)), blocks)

    @property
    def seed(self) -> int:
        return self._run.scenario.seed

    @property
    def market(self) -> Market:
        return self._run.market

    def now(self) -> float:
        return self._run.now()

    def sleep(self, seconds: float) -> Any:
        return self._run.clock.sleep(seconds)

    def busy_since(self) -> int | None:
        """Return the start of the task that is performed, or of the session that is entered or left; else None."""
        if self.in_session_since is not None:
            return self.in_session_since
        starts, ends = self.starts, self.ends
        try:
            started = starts[-1]
        except IndexError:
            return None
        # `ends` is read after `starts`, so that an operation that just ended does not look as if it were running.
        return started if len(starts) > len(ends) else None

    def current_task(self) -> str:
        """Return the task of the operation that is performed, or of the next operation."""
        return self.task_at(self.taken + len(self.ends))

    def current_index(self) -> int | None:
        """Return the index of the operation that is performed; None if none is."""
        return self.taken + len(self.ends) if len(self.starts) > len(self.ends) else None

    def task_at(self, index: int) -> str:
        """Return the task of an operation."""
        code = self._schedule.block(index, 1).operation_codes[0]
        return self._run.tasks[int(code) // self._run.fault_mix.count].name

    @property
    def background_errors(self) -> BackgroundErrors:
        """Errors of the run outside of operations."""
        return self._run.background_errors

    def announce(self, event: str) -> None:
        self._run.announce(event)

    def one_way_delays(self, index: int) -> tuple[float, float] | None:
        """Return the network delays of an operation's request and reply in seconds; None without a network."""
        block = self._block
        if block is None or block.request_delays is None or block.reply_delays is None:
            return None
        row = index - block.first
        return block.request_delays.item(row), block.reply_delays.item(row)

    @property
    def faults_are_active(self) -> bool:
        """True if planned faults are active in the operation that the agent performs."""
        return self._faults_allowed and self.recovered_from is None

    def fault_of_attempt(self, index: int, number: int) -> PlannedFault:
        """Return the planned fault of a later attempt at an operation."""
        mix = self._run.fault_mix
        if not self.faults_are_active:
            return mix.variants[mix.faults_disabled]
        return mix.variants[self._schedule.attempt(index, number)]

    def on_fault(self, fault: InjectedFault) -> None:
        if not fault.is_counted:
            self.fault_counts[fault.kind] += 1

    def on_retry(self) -> None:
        self.retries += 1

    def on_success(self, index: int, planned: PlannedFault) -> None:
        """Note that the last attempt at an operation succeeded, although the first was planned to fail."""
        if planned.outcome == FAILED:
            self.unplanned_outcomes.append(UnplannedOutcome(index, SUCCESS))

    def on_unplanned_entry(self, index: int, *, entered: bool) -> None:
        """Note that an operation entered the target's function although none was planned, or did not enter it."""
        self.unplanned_entries.append(UnplannedEntry(index, entered))

    def on_unmet(self, planned: PlannedFault) -> None:
        """Note that an operation ended before it came to its planned fault."""
        self.fault_counts[str(planned.reported_as)] -= 1

    def on_unplanned_fault(self, planned: PlannedFault) -> None:
        """Note that a retry met a fault that does not raise an exception."""
        self.fault_counts[str(planned.reported_as)] += 1

    @contextmanager
    def session(self) -> Iterator[None]:
        """Enter the agent's ``per_agent`` context manager, if the run has one, around its operations."""
        if self._run.per_agent is None:
            yield
            return
        self.in_session_since = self._run.clock.now_ns()
        with without_faults(self._run.per_agent(self.name)) as self.context:
            self.in_session_since = None
            try:
                yield
            finally:
                self.in_session = "leaving per_agent"
                self.in_session_since = self._run.clock.now_ns()
        self.in_session_since = None

    @asynccontextmanager
    async def async_session(self) -> AsyncIterator[None]:
        """Do the same on an event loop, where the context manager may be an async one."""
        if self._run.per_agent is None:
            yield
            return
        self.in_session_since = self._run.clock.now_ns()
        async with without_faults_async(self._run.per_agent(self.name)) as self.context:
            self.in_session_since = None
            try:
                yield
            finally:
                self.in_session = "leaving per_agent"
                self.in_session_since = self._run.clock.now_ns()
        self.in_session_since = None

    def operations(self) -> Operations:
        """Perform the plan. Each value is the think time before an operation, which the next step performs.

        On an event loop, the awaitables of tasks are values too. The engine sends their answers back, or throws
        their exceptions in.
        """
        self._run.begin()
        operations = self._perform(self._pieces(self._plan), lambda: self._run.deadline_ns)
        if self._run.recovery is not None:
            operations = self._recover_after(operations, self._run.recovery)
        has_an_end = self._run.on_end or self._run.on_start
        return self._end_after(operations) if has_an_end else operations

    def _end_after(self, operations: Operations) -> Operations:
        """Perform the operations. The last agent to end then calls the run's ``on_end`` functions."""
        yield from operations
        if self._run.is_last():
            for settle in self._run.on_end:
                yield settle()

    def _perform(
        self, pieces: Iterator[tuple[int, list[int], Iterable[float]]], deadline_ns: Callable[[], int]
    ) -> Operations:
        run, backpressure, clock = self._run, self._backpressure, self._run.clock.now_ns
        calls, operation_types, deadline = run.calls, run.operation_types, deadline_ns()
        width, faults_disabled, windows = run.fault_mix.count, run.fault_mix.faults_disabled, run.windows
        awaits, harmless, examine = run.awaits, run.returned.harmless, run.returned.examine
        next_stop = min(backpressure.flush_deadline, deadline)
        task_of_code = [task.name for task in run.tasks for _ in range(width)]
        started, ended = self.starts.append, self.ends.append
        end = clock()
        for first, codes, think_times in pieces:
            for index, code, think_time in zip(itertools.count(first), codes, think_times):
                if think_time and end + think_time * 1e9 >= deadline:
                    self._performed = index
                    return
                yield think_time
                if windows is not None and not self._faults_allowed_at(index, windows):
                    code += faults_disabled - code % width
                call = calls[code]
                if call is None:
                    end = clock()
                    started(end)
                else:
                    operation_type = operation_types[code]
                    started(clock())
                    try:
                        if operation_type is None:
                            result = call()
                        else:
                            result = call(operation_type(self, task_of_code[code], index))
                        if result is not None and id(type(result)) not in harmless:
                            if awaits and (awaitable := as_awaitable(result)) is not None:
                                result = yield awaitable
                            if result is not None:
                                examine(result)
                    except BaseException as error:
                        self._raised(error, index, code, task_of_code[code])
                    end = clock()
                ended(end)
                if end >= next_stop:
                    if end >= deadline:
                        self._performed = index + 1
                        return
                    next_stop = min(backpressure.wait_for_flush(end), deadline)
            self._performed = first + len(codes)

    def _faults_allowed_at(self, index: int, windows: OpenWindows) -> bool:
        """Return True if planned faults are active now, and note each change for the recorder."""
        allowed = windows.are_open() and self.recovered_from is None
        if allowed != self._faults_allowed:
            self._faults_allowed = allowed
            self.fault_switches.append((index, allowed))
        return allowed

    def _recover_after(self, planned: Operations, recovery: Recovery) -> Operations:
        """Perform the plan, wait for all other agents, and then perform operations without faults."""
        yield from planned
        yield None
        self._drop_unperformed_plan()
        now = self._run.clock.now_ns()
        self.recovered_from = self._performed, now
        recovery.begin(now)
        blocks = self._schedule.blocks_without_faults(self._performed)
        clock = self._run.clock.now_ns
        most = itertools.islice(self._pieces(blocks, 1), recovery.most_operations)
        pieces = itertools.takewhile(lambda _: not recovery.is_over(clock()), most)
        yield from self._perform(pieces, lambda: recovery.deadline_ns)
        self._drop_unperformed_plan()

    def _drop_unperformed_plan(self) -> None:
        """Drop planned operations that were not performed: the recorder takes plans and operations in pairs."""
        block = self._block
        if block is not None and (performed := self._performed - block.first) < block.operation_codes.size:
            self.blocks[-1] = block.head(performed)

    def _pieces(
        self, plan: Iterator[PlanBlock], size: int = _PIECE
    ) -> Iterator[tuple[int, list[int], Iterable[float]]]:
        """Yield the plan in lists: index of the first operation, codes, think times. Short lists save memory."""
        for block in plan:
            self._block = block
            self.blocks.append(block)
            for start in range(0, block.operation_codes.size, size):
                codes: list[int] = block.operation_codes[start : start + size].tolist()
                think_times = block.think_times
                yield (
                    block.first + start,
                    codes,
                    itertools.repeat(0.0) if think_times is None else think_times[start : start + size].tolist(),
                )

    def _raised(self, error: BaseException, index: int, code: int, task: str) -> None:
        planned = self._run.fault_mix.variants[code % self._run.fault_mix.count]
        if planned.outcome == MISSING and issubclass(type(error), MissingDataError):
            return
        if is_injected(error):
            if planned.outcome != FAILED:
                self.unplanned_outcomes.append(
                    UnplannedOutcome(index, FAILED, Cause.INJECTED, error_name(error), error_message(error))
                )
            return
        name, cause = error_name(error), self._cause(error)
        if cause is Cause.ERROR and name not in self.samples:
            self.samples[name] = ErrorSample(name, error_message(error), self.name, task, error_traceback(error))
        self.unplanned_outcomes.append(UnplannedOutcome(index, FAILED, cause, name, error_message(error)))

    def _cause(self, error: BaseException) -> Cause:
        if self._run.ends_with(error) or issubclass(type(error), Abandoned):
            return Cause.CUT_SHORT
        return Cause.EXPECTED if issubclass(type(error), self._run.expected_errors) else Cause.ERROR
