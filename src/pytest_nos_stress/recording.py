"""The recorder: from what agents note to records and the log, while the run goes on.

Agents append to lists of their own. The recorder, a thread, empties all of them several times a second,
works out the rest from the plan for the whole batch at once, keeps the batch as columns and has it logged.

Guarantee: what an agent has noted is with the log within half a second. Agents that use the processor
without a pause would starve the recorder of the GIL, so each looks at ``horizon`` after an operation, and
past it waits until the recorder has had its turn. Agents that leave the recorder time to work never wait, and
a disk that does not answer holds the others up once, for half a second.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np

from .agent import Agent, Deviation, ErrorSample
from .engines import Clock
from .plan import KINDS
from .records import FAILED, MISSING, SUCCESS, Batch, Column, Records

_OUTCOME_OF_KIND: Final = np.array([SUCCESS, MISSING, FAILED, FAILED], dtype=np.uint8)
_INTERVAL: Final = 0.1
_HORIZON_NS: Final = 100_000_000
_PATIENCE_NS: Final = 500_000_000
_WOKEN_AT_ONCE: Final = 4
_LAST_TURN: Final = 30
_NEVER: Final = 1 << 62


class Log(Protocol):
    """Where batches are logged."""

    def write(self, batch: Batch) -> None: ...


class _Feed:
    """What the recorder has taken from one agent so far."""

    __slots__ = ("agent", "last_end", "taken_of_block")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.taken_of_block = 0
        self.last_end: int | None = None

    def plan(self, count: int) -> list[tuple[Column, Column | None]]:
        """The plan of the next ``count`` operations."""
        parts = []
        while count:
            block = self.agent.blocks[0]
            first = self.taken_of_block
            codes = block.codes[first : first + count]
            pauses = None if block.pauses is None else block.pauses[first : first + count]
            parts.append((codes, pauses))
            count -= codes.size
            self.taken_of_block += codes.size
            if self.taken_of_block == block.codes.size:
                self.agent.blocks.popleft()
                self.taken_of_block = 0
        return parts

    def forget(self, count: int, last_end: int) -> list[Deviation]:
        """Take the next ``count`` operations out of the agent's buffers; returns the deviations among them."""
        agent = self.agent
        del agent.starts[:count]
        del agent.ends[:count]
        agent.taken += count
        self.last_end = last_end
        waiting, due = agent.deviations, []
        while waiting and waiting[0].operation < agent.taken:
            due.append(waiting.popleft())
        return due


class Recorder:
    """Collects what agents note, in a thread of its own."""

    def __init__(self, clock: Clock, log: Log, records: Records) -> None:
        self.horizon = 0
        self.error_counts: Counter[str] = Counter()
        self.expected_counts: Counter[str] = Counter()
        self._clock = clock
        self._log = log
        self._records = records
        self._feeds: list[_Feed] = []
        self._turn = threading.Condition()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stress recorder", daemon=True)
        self.failure: BaseException | None = None
        """What the recorder could not do; the run that it belongs to must not pass."""

    @contextmanager
    def recording(self, agents: Sequence[Agent]) -> Iterator[None]:
        """Record these agents until the block is left, and what they noted by then."""
        self._feeds = [_Feed(agent) for agent in agents]
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
        with self._turn:
            while (late := self._clock.now_ns() - self.horizon) >= 0:
                if late > _PATIENCE_NS:
                    self.horizon = _NEVER
                    break
                self._turn.wait(_PATIENCE_NS / 1e9)
            self._turn.notify()
            return min(self.horizon, now + _HORIZON_NS)

    def samples(self) -> dict[str, ErrorSample]:
        """An example of each type of error."""
        samples: dict[str, ErrorSample] = {}
        for feed in self._feeds:
            for name, sample in list(feed.agent.samples.items()):
                samples.setdefault(name, sample)
        return samples

    def _work(self) -> None:
        try:
            while not self._closing.wait(_INTERVAL):
                self._take_turn()
            self._take_turn()
        except BaseException as error:
            self.failure = error
        finally:
            self._let_go(_NEVER)
            self._ended.set()

    def _take_turn(self) -> None:
        """Take what the agents noted, keep it and log it."""
        batch = self._empty_buffers()
        if batch is not None:
            self._records.append(batch)
            self._log.write(batch)
        self._let_go()

    def _let_go(self, horizon: int | None = None) -> None:
        """Let the agents that wait go on, up to the next horizon."""
        with self._turn:
            self.horizon = horizon or self._clock.now_ns() + _HORIZON_NS
            self._turn.notify(_WOKEN_AT_ONCE)

    def _empty_buffers(self) -> Batch | None:
        """What all agents have noted since the last turn, in order of time."""
        waiting = [(feed, count) for feed in self._feeds if (count := len(feed.agent.ends))]
        if not waiting:
            return None
        end = _joined([(feed.agent.ends, count) for feed, count in waiting])
        start = _joined([(feed.agent.starts, count) for feed, count in waiting])
        due = np.empty_like(end)
        due[1:] = end[:-1]
        plans: list[tuple[Column, Column | None]] = []
        deviations: dict[int, Deviation] = {}
        row = 0
        for feed, count in waiting:
            plans += feed.plan(count)
            due[row] = self._clock.started_ns if feed.last_end is None else feed.last_end
            first = row - feed.agent.taken
            for deviation in feed.forget(count, int(end[row + count - 1])):
                deviations[first + deviation.operation] = deviation
            row += count
        agent = np.repeat([feed.agent.number for feed, _ in waiting], [count for _, count in waiting])
        return self._batch(agent, start, end, due, plans, deviations)

    def _batch(
        self,
        agent: Column,
        start: Column,
        end: Column,
        due: Column,
        plans: list[tuple[Column, Column | None]],
        deviations: dict[int, Deviation],
    ) -> Batch:
        if plans[0][1] is not None:
            due += (np.concatenate([pauses for _, pauses in plans if pauses is not None]) * 1e9).astype(np.int64)
        code = np.concatenate([codes for codes, _ in plans])
        outcome = _OUTCOME_OF_KIND[code % np.uint16(KINDS)]
        is_error = np.zeros(end.size, np.bool_)
        for row, deviation in deviations.items():
            outcome[row] = FAILED
            is_error[row] = deviation.is_error
            counter = self.error_counts if deviation.is_error else self.expected_counts
            counter[deviation.type] += 1
        latency = end - start
        order = np.argsort(end, kind="stable")
        return Batch(
            agent=agent[order],
            code=code[order],
            outcome=outcome[order],
            is_error=is_error[order],
            end=end[order],
            latency=latency[order],
            response_time=np.maximum(end - due, latency)[order],
            errors=_texts_in_order(deviations, order),
        )


def _joined(lists: list[tuple[list[int], int]]) -> Column:
    """The first so many numbers of each list, without a copy in between."""
    numbers = itertools.chain.from_iterable(itertools.islice(one, count) for one, count in lists)
    return np.fromiter(numbers, np.int64, sum(count for _, count in lists))


def _texts_in_order(deviations: dict[int, Deviation], order: Column) -> dict[int, str]:
    """The text of each deviation by its row after sorting."""
    if not deviations:
        return {}
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    return {int(place[row]): f"{deviation.type}: {deviation.message}" for row, deviation in deviations.items()}
