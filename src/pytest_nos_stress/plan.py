"""The plan: what is decided for each operation before it runs.

The plan of an operation is a pure function of (seed, agent name, operation index) and the scenario. Python's
hash seed, thread timing, other agents and the engine have no part in it, and an operation can be planned
without those before it. Where the scenario has an explicit list of operations, that is the plan.

Source: counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
The key of a Philox generator is a hash of seed and agent name, its counter is the operation's index, and
the four 64-bit words of that counter are the operation's four draws: task, think time, data fault, call
fault. Only ``random_raw`` is used: NumPy keeps a bit generator's stream the same for good, but not the
distributions made from it. A kind of draw that comes later takes a key of its own (``purpose``), so that it
changes none of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from hashlib import blake2b
from random import Random
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .scenario import Scenario

KINDS: Final = 4
CALL, MISSING_DATA, LOST_REQUEST, LOST_REPLY = range(KINDS)
KIND_OF_FAULT: Final = {
    None: CALL,
    "missing_data": MISSING_DATA,
    "lost_request": LOST_REQUEST,
    "lost_reply": LOST_REPLY,
}

_DRAWS: Final = 4
_DRAW_VALUES: Final = 1 << 53
# NumPy gives the GIL away in calls on more than about 500 elements, and with hundreds of threads it is long in
# coming back. So as much as a short run needs is planned in the first block, which is made before the start, and
# later blocks are larger still: a long run seldom stops to plan.
_SMALLEST_BLOCK: Final = 64
_LARGEST_BLOCK: Final = 65_536
_PLANNED_BEFORE_THE_START: Final = 1_048_576
_PLANNED_AHEAD: Final = 4_194_304
_RANK_STEP: Final = 1 << 30
_RANK_BITS: Final = 32


class PlanBlock(NamedTuple):
    """The plans of successive operations of one agent.

    ``codes`` holds ``task number * KINDS + kind`` for each; ``pauses`` the think time before each in
    seconds, or None where the scenario has none.
    """

    first: int
    codes: npt.NDArray[np.uint16]
    pauses: npt.NDArray[np.float64] | None


def agent_key(seed: int, agent: str, purpose: str = "operation") -> int:
    """The 128-bit key under which an agent's draws for a purpose are made."""
    text = f"{purpose}\0{seed}\0{agent}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "little")


class AgentPlan:
    """The plan of one agent under a scenario: its explicit operations, or drawn ones."""

    def __init__(self, scenario: Scenario, agent: str) -> None:
        self._scenario = scenario
        self._agent = agent
        self._key = agent_key(scenario.seed, agent)
        weights = np.array(scenario.weights or ()) / max(scenario.weights or ())
        self._last_draws = np.array(
            [_bound(share) for share in np.cumsum(weights)[:-1] / weights.sum()], np.uint64
        )
        lost_replies = {"lost_request": 0.0, "lost_reply": 1.0, "mixed": 0.5}[scenario.failure_mode]
        self._missing_data = _bound(scenario.missing_data_prob)
        self._failure = _bound(scenario.failure_prob)
        self._lost_reply = _bound(scenario.failure_prob * lost_replies)
        self._explicit = None if scenario.planned is None else self._listed()

    def blocks(self) -> Iterator[PlanBlock]:
        """The whole plan in order, in blocks; without end where the scenario has no number of operations."""
        if self._explicit is not None:
            if self._explicit.codes.size:
                yield self._explicit
            return
        last = self._scenario.operations_per_agent
        agents = len(self._scenario.agent_names)
        first, size = 0, _share(_PLANNED_BEFORE_THE_START, agents)
        while last is None or first < last:
            count = size if last is None else min(size, last - first)
            yield self.block(first, count)
            first, size = first + count, _share(_PLANNED_AHEAD, agents)

    def blocks_without_faults(self, first: int) -> Iterator[PlanBlock]:
        """What is performed after the plan, while a system recovers: drawn operations from ``first`` on."""
        for start in itertools.count(first, _SMALLEST_BLOCK):
            drawn = self._drawn(start, _SMALLEST_BLOCK)
            yield drawn._replace(codes=drawn.codes - drawn.codes % np.uint16(KINDS))

    def ranks(self) -> Iterator[int]:
        """For each operation its place among those due at the same instant: that in the list, or drawn."""
        drawn = _drawn_ranks(agent_key(self._scenario.seed, self._agent, "rank"))
        if self._explicit is None:
            return drawn
        return itertools.chain(self._scenario.places_of[self._agent], drawn)

    def block(self, first: int, count: int) -> PlanBlock:
        """The plans of operations ``first`` to ``first + count - 1``."""
        if self._explicit is None or first >= self._explicit.codes.size:
            return self._drawn(first, count)
        codes, pauses = self._explicit.codes, self._explicit.pauses
        return PlanBlock(
            first, codes[first : first + count], None if pauses is None else pauses[first : first + count]
        )

    def _listed(self) -> PlanBlock:
        scenario = self._scenario
        number_of = {task: number for number, task in enumerate(scenario.task_names)}
        rows = [(scenario.planned or ())[place] for place in scenario.places_of[self._agent]]
        codes = [number_of[row.task] * KINDS + KIND_OF_FAULT[row.fault] for row in rows]
        pauses = np.array([row.delay for row in rows]) if any(row.delay for row in rows) else None
        return PlanBlock(0, np.array(codes, np.uint16), pauses)

    def _drawn(self, first: int, count: int) -> PlanBlock:
        # Philox steps its counter before it draws: the counter of operation 0 is 1.
        raw = np.random.Philox(key=self._key, counter=first).random_raw(count * _DRAWS)
        task, think, data, call = (raw >> np.uint64(11)).reshape(count, _DRAWS).T
        kinds = np.where(call < self._failure, LOST_REQUEST, CALL)
        kinds[call < self._lost_reply] = LOST_REPLY
        kinds[data < self._missing_data] = MISSING_DATA
        codes = np.searchsorted(self._last_draws, task, side="right") * KINDS + kinds
        return PlanBlock(first, codes.astype(np.uint16), self._pauses(think))

    def _pauses(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64] | None:
        shortest, longest = float(self._scenario.min_delay), float(self._scenario.max_delay)
        if longest == 0:
            return None
        step = np.float64((longest - shortest) / _DRAW_VALUES)
        return np.float64(shortest) + step * draws


def _drawn_ranks(key: int) -> Iterator[int]:
    """Later operations after earlier ones, but an agent may be some operations ahead of another."""
    draw = Random(key).getrandbits
    for first in itertools.count(0, _RANK_STEP):
        yield first + draw(_RANK_BITS)


def _share(operations: int, agents: int) -> int:
    """The size of an agent's block where all agents' blocks have so many operations."""
    return max(_SMALLEST_BLOCK, min(operations // agents, _LARGEST_BLOCK))


def _bound(probability: float) -> np.uint64:
    """The number below which as large a share of all draws lies."""
    return np.uint64(round(probability * _DRAW_VALUES))
