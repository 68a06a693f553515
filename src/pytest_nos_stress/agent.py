"""An agent: a named actor that performs its plan, one operation after another, and notes what came of it.

This is the hot path of a run. An agent shares nothing with the others while it performs: it appends the
start and the end of each operation to two lists of its own, which the recorder empties, and everything else
(outcome, think time, latency) is worked out from the plan afterwards, a batch at a time. An operation that
did not go as planned is noted beside them.

Guarantees: whatever a task raises (``SystemExit``, ``KeyboardInterrupt``, an exception that cannot be
printed) becomes that operation's failure and the agent goes on; ``starts`` is longer than ``ends`` exactly
while a task is being performed.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from .errors import Abandoned, MissingDataError
from .faults import LostReplyOperation, MissingDataOperation
from .operation import Operation
from .plan import CALL, KINDS, LOST_REPLY, MISSING_DATA, AgentPlan, PlanBlock
from .scenario import Scenario
from .target import Task
from .text import error_message, error_name, error_traceback, from_target_on

if TYPE_CHECKING:
    from .engines import Clock
    from .market import Market

_NEVER: Final = 1 << 62
_PIECE: Final = 512


class Deviation(NamedTuple):
    """An operation that a task ended with an exception."""

    operation: int
    type: str
    message: str
    is_error: bool


class ErrorSample(NamedTuple):
    """One exception of a type, as an example of it."""

    type: str
    message: str
    agent: str
    task: str
    traceback: str


class Pace(Protocol):
    """What an agent looks at between operations: has the recorder fallen behind?"""

    horizon: int

    def catch_up(self, now: int) -> int:
        """Wait for the recorder if it is past the horizon by now, and return the next one."""


class Recovery(Protocol):
    """The phase without faults after the plan, which ends when what was to become true has become so."""

    def begin(self, now: int) -> None:
        """Called by each agent when all have performed their plans; the first call begins the phase."""

    most_operations: int
    """How many operations an agent performs in it at most."""

    @property
    def deadline_ns(self) -> int: ...

    def is_over(self, now: int) -> bool: ...


class World:
    """What the agents of a run share: scenario, target, clock, market, and how a run is ended from within."""

    def __init__(
        self,
        scenario: Scenario,
        tasks: Sequence[Task],
        clock: Clock,
        *,
        stop: Callable[[], None],
        recovery: Recovery | None = None,
        per_agent: Callable[[str], Any] | None = None,
        expected_errors: tuple[type[BaseException], ...] = (),
        ending_errors: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.scenario = scenario
        self.tasks = tasks
        self.clock = clock
        self.recovery = recovery
        self.per_agent = per_agent
        self.expected_errors = expected_errors
        self.ended_by: BaseException | None = None
        self._ending_errors = ending_errors
        self._stop = stop
        self._market: Market | None = None
        self._lock = threading.Lock()
        kinds = {CALL: Operation, MISSING_DATA: MissingDataOperation, LOST_REPLY: LostReplyOperation}
        self.calls: list[Callable[..., Any] | None] = [None] * (len(tasks) * KINDS)
        self.makes: list[type[Operation] | None] = [None] * (len(tasks) * KINDS)
        for number, task in enumerate(tasks):
            for kind, operation_type in kinds.items():
                if task.takes_operation:
                    self.calls[number * KINDS + kind] = task.function
                    self.makes[number * KINDS + kind] = operation_type
                elif kind != MISSING_DATA:
                    self.calls[number * KINDS + kind] = task.function

    @property
    def deadline_ns(self) -> int:
        """When a run by duration ends, on the engine's clock."""
        if self.scenario.duration is None:
            return _NEVER
        return self.clock.started_ns + round(self.scenario.duration * 1e9)

    @property
    def market(self) -> Market:
        """The market all operations see, made when one first looks."""
        if self._market is None:
            with self._lock:
                self._market = self._market or self._open_market()
        return self._market

    def now(self) -> float:
        return (self.clock.now_ns() + self.clock.wall_offset_ns) / 1e9

    def _open_market(self) -> Market:
        from .market import Market

        start = (self.clock.started_ns + self.clock.wall_offset_ns) / 1e9
        return Market(seed=self.scenario.seed, clock=self.now, start=start)

    def ends_with(self, error: BaseException) -> bool:
        """Whether this exception ends the run; if so, the run is stopped and the exception kept."""
        if not issubclass(type(error), self._ending_errors):
            return False
        with self._lock:
            # Its frames here are dead generators by the time it is raised again; nobody should look into them.
            self.ended_by = self.ended_by or error.with_traceback(from_target_on(error))
        self._stop()
        return True


class Agent:
    """One agent of a run."""

    def __init__(self, world: World, name: str, number: int, pace: Pace) -> None:
        self.name = name
        self.number = number
        self.context: Any = None
        self.taken = 0
        """How many operations the recorder has taken from the buffers below."""
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.blocks: deque[PlanBlock] = deque()
        self.deviations: deque[Deviation] = deque()
        self.samples: dict[str, ErrorSample] = {}
        self.in_session_since: int | None = None
        self.in_session = "entering per_agent"
        self.recovered_from: tuple[int, int] | None = None
        """The first operation after the plan, and when agents went on to those."""
        self._performed = 0
        self._world = world
        self._pace = pace
        self._block: PlanBlock | None = None
        self._agent_plan = AgentPlan(world.scenario, name)
        self.ranks = self._agent_plan.ranks()
        # The first block is planned here, before the start: hundreds of threads that all begin to plan at once
        # would keep each other from performing.
        blocks = self._agent_plan.blocks()
        self._plan = itertools.chain(list(itertools.islice(blocks, 1)), blocks)

    @property
    def seed(self) -> int:
        return self._world.scenario.seed

    @property
    def market(self) -> Market:
        return self._world.market

    def now(self) -> float:
        return self._world.now()

    def sleep(self, seconds: float) -> None:
        self._world.clock.sleep(seconds)

    def busy_since(self) -> int | None:
        """When the task now being performed (or the session now being entered) began; None between them."""
        if self.in_session_since is not None:
            return self.in_session_since
        starts, ends = self.starts, self.ends
        try:
            started = starts[-1]
        except IndexError:
            return None
        # Read after `starts`: an operation that ended in between is then not taken for a running one.
        return started if len(starts) > len(ends) else None

    def current_task(self) -> str:
        """The task of the operation being performed, or of the next one."""
        index = self.taken + len(self.ends)
        code = self._agent_plan.block(index, 1).codes[0]
        return self._world.tasks[int(code) // KINDS].name

    @contextmanager
    def session(self) -> Iterator[None]:
        """The agent's own context manager, if the run has one, around its operations."""
        if self._world.per_agent is None:
            yield
            return
        self.in_session_since = self._world.clock.now_ns()
        with self._world.per_agent(self.name) as self.context:
            self.in_session_since = None
            try:
                yield
            finally:
                self.in_session = "leaving per_agent"
                self.in_session_since = self._world.clock.now_ns()
        self.in_session_since = None

    def operations(self) -> Iterator[float | None]:
        """Performs the plan: each value is the pause before an operation, which the next step performs."""
        planned = self._perform(self._pieces(self._plan), lambda: self._world.deadline_ns)
        if self._world.recovery is None:
            return planned
        return self._recover_after(planned, self._world.recovery)

    def _perform(
        self, pieces: Iterator[tuple[int, list[int], Iterable[float]]], deadline_ns: Callable[[], int]
    ) -> Iterator[float]:
        world, pace, clock = self._world, self._pace, self._world.clock.now_ns
        calls, makes, deadline = world.calls, world.makes, deadline_ns()
        look_up_at = min(pace.horizon, deadline)
        task_of_code = [task.name for task in world.tasks for _ in range(KINDS)]
        started, ended = self.starts.append, self.ends.append
        end = clock()
        for first, codes, pauses in pieces:
            for index, code, pause in zip(itertools.count(first), codes, pauses):
                if pause and end + pause * 1e9 >= deadline:
                    self._performed = index
                    return
                yield pause
                call = calls[code]
                if call is None:
                    end = clock()
                    started(end)
                else:
                    make = makes[code]
                    started(clock())
                    try:
                        result = call() if make is None else call(make(self, task_of_code[code], index))
                        if result is not None and hasattr(type(result), "__await__"):
                            refuse_awaitable(result)
                    except BaseException as error:
                        self._raised(error, index, code, task_of_code[code])
                    end = clock()
                ended(end)
                if end >= look_up_at:
                    if end >= deadline:
                        self._performed = index + 1
                        return
                    look_up_at = min(pace.catch_up(end), deadline)
            self._performed = first + len(codes)

    def _recover_after(self, planned: Iterator[float], recovery: Recovery) -> Iterator[float | None]:
        """After the plan, and when all agents have ended theirs: operations without faults."""
        yield from planned
        yield None
        self._forget_the_rest_of_the_plan()
        now = self._world.clock.now_ns()
        self.recovered_from = self._performed, now
        recovery.begin(now)
        blocks = self._agent_plan.blocks_without_faults(self._performed)
        clock = self._world.clock.now_ns
        most = itertools.islice(self._pieces(blocks, 1), recovery.most_operations)
        pieces = itertools.takewhile(lambda _: not recovery.is_over(clock()), most)
        yield from self._perform(pieces, lambda: recovery.deadline_ns)
        self._forget_the_rest_of_the_plan()

    def _forget_the_rest_of_the_plan(self) -> None:
        """The recorder takes plan and operations together: what was planned but not performed must go."""
        block = self._block
        if block is not None and (kept := self._performed - block.first) < block.codes.size:
            pauses = None if block.pauses is None else block.pauses[:kept]
            self.blocks[-1] = PlanBlock(block.first, block.codes[:kept], pauses)

    def _pieces(
        self, plan: Iterator[PlanBlock], size: int = _PIECE
    ) -> Iterator[tuple[int, list[int], Iterable[float]]]:
        """The plan as lists: index of the first operation, codes, pauses. Lists are kept short for the memory."""
        for block in plan:
            self._block = block
            self.blocks.append(block)
            for at in range(0, block.codes.size, size):
                codes: list[int] = block.codes[at : at + size].tolist()
                pauses = block.pauses
                yield (
                    block.first + at,
                    codes,
                    itertools.repeat(0.0) if pauses is None else pauses[at : at + size].tolist(),
                )

    def _raised(self, error: BaseException, index: int, code: int, task: str) -> None:
        if code % KINDS == MISSING_DATA and issubclass(type(error), MissingDataError):
            return
        name = error_name(error)
        ends = self._world.ends_with(error)
        is_error = not ends and not issubclass(type(error), (Abandoned, *self._world.expected_errors))
        if is_error and name not in self.samples:
            self.samples[name] = ErrorSample(name, error_message(error), self.name, task, error_traceback(error))
        self.deviations.append(Deviation(index, name, error_message(error), is_error))


def refuse_awaitable(result: object) -> None:
    """A sync function that returned a coroutine or the like has performed nothing yet."""
    if isinstance(result, CoroutineType):
        result.close()
    raise TypeError(f"the task returned a {type(result).__name__}, which a thread cannot await")
