"""Schedule: plans each operation before it runs.

The plan of an operation is a pure function of the scenario, the seed, the agent's name and the operation's index.
It does not depend on Python's hash seed, thread timing, other agents or the engine. An operation can be planned
without the operations before it. If the scenario has an explicit list of operations, the list is the plan.

Source: counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). The
key of a Philox generator is a hash of seed and agent name. Its counter is the operation's index. The four 64-bit
words of that counter are the operation's four draws: task, think time, data fault, call fault. The range of
probabilities in which a draw lies selects the fault. Only ``random_raw`` is used: NumPy guarantees that a bit
generator's stream never changes, but not the distributions made from it. A new kind of draw must take its own key
(``purpose``), so that it does not change these draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.seeding import phase_of, stream_key
from pytest_nos_stress.faults.catalogue import LOST_REPLY, LOST_REQUEST
from pytest_nos_stress.faults.mix import CALL, PlannedFault
from pytest_nos_stress.faults.network_sampling import NetworkSampler

from .scenario import Scenario

_DRAWS: Final = 4
_DRAW_VALUES: Final = 1 << 53
# NumPy releases the GIL in calls on more than about 500 elements. With hundreds of threads it takes long to get it
# back. So the first block, which is made before the run's start, has all plans of a short run. Later blocks are
# even larger, so that a long run seldom stops to plan.
_SMALLEST_BLOCK: Final = 64
_LARGEST_BLOCK: Final = 65_536
_PLANNED_BEFORE_THE_START: Final = 1_048_576
_PLANNED_AHEAD: Final = 4_194_304
_TIE_BREAKER_STEP: Final = 1 << 30
_TIE_BREAKER_BITS: Final = 32
_BURSTS_BEGIN_ANEW: Final = 4_096
"""Bursts start anew at multiples of this index, so that an operation can be planned without all earlier ones."""


class PlanBlock(NamedTuple):
    """Plans of successive operations of one agent.

    ``first`` is the index of the first operation. ``operation_codes`` holds ``task number * fault_mix.count +
    variant`` for each operation. ``think_times`` are the seconds before each operation; None if the scenario has
    no think time. ``request_delays`` and ``reply_delays`` are the seconds that its messages take; None without a
    network.
    """

    first: int
    operation_codes: npt.NDArray[np.uint16]
    think_times: npt.NDArray[np.float64] | None
    request_delays: npt.NDArray[np.float64] | None = None
    reply_delays: npt.NDArray[np.float64] | None = None

    def head(self, count: int) -> PlanBlock:
        """Return a block with the first ``count`` operations of this block."""
        return PlanBlock(self.first, *(None if column is None else column[:count] for column in self[1:]))  # type: ignore[arg-type]


class AgentSchedule:
    """Plan of one agent in a scenario: its operations from the explicit list, or drawn operations.

    ``faults_at_calls=False`` leaves out the faults of calls, and ``network_at_calls=False`` the network, for runs
    in which flaky clients or proxies apply them.
    """

    def __init__(
        self, scenario: Scenario, agent: str, *, faults_at_calls: bool = True, network_at_calls: bool = True
    ) -> None:
        self._scenario = scenario
        self._agent = agent
        self._key = stream_key(scenario.seed, agent)
        self._mix = mix = scenario.fault_mix
        self._faults_at_calls = faults_at_calls
        weights = np.array(scenario.weights or ()) / max(scenario.weights or ())
        self._last_draws = np.array(
            [_bound(share) for share in np.cumsum(weights)[:-1] / weights.sum()], np.uint64
        )
        self._data = _Draw(list(enumerate(mix.data_faults, 1)))
        calls = list(enumerate(mix.call_faults if faults_at_calls else (), mix.first_call_fault))
        self._bursts = [(number, fault) for number, fault in calls if fault.row.in_bursts and fault.probability]
        others = 1 - sum(fault.probability for _, fault in self._bursts)
        # Bursts take their share of the calls first. The probabilities of the other faults are scaled up on the
        # remaining calls, so that each fault has its planned share of all calls.
        self._calls = _Draw([(number, fault) for number, fault in calls if not fault.row.in_bursts], others)
        self._later_calls = _Draw(calls)
        self._network: NetworkSampler | None = None
        if scenario.network is not None and network_at_calls:
            self._network = NetworkSampler(scenario.network, scenario.seed, agent)
        self._explicit = None if scenario.planned is None else self._listed()

    def blocks(self) -> Iterator[PlanBlock]:
        """Yield the whole plan in order, in blocks. Endless if the scenario has no number of operations."""
        if self._explicit is not None:
            if self._explicit.operation_codes.size:
                yield self._over_network(self._explicit, loses=False)
            return
        last = self._scenario.operations_per_agent
        agents = len(self._scenario.agent_names)
        first, size = 0, _share(_PLANNED_BEFORE_THE_START, agents)
        while last is None or first < last:
            count = size if last is None else min(size, last - first)
            yield self._over_network(self.block(first, count), loses=True)
            first, size = first + count, _share(_PLANNED_AHEAD, agents)

    def blocks_without_faults(self, first: int) -> Iterator[PlanBlock]:
        """Yield endless blocks of drawn operations without faults from index ``first``, for the recovery phase."""
        if self._scenario.network is not None and self._network is not None:
            # A new sampler: how far the plan's sampler was drawn ahead depends on the number of agents.
            recovering = phase_of(self._agent, "recovering")
            self._network = NetworkSampler(self._scenario.network, self._scenario.seed, recovering)
        for start in itertools.count(first, _SMALLEST_BLOCK):
            drawn = self._drawn(start, _SMALLEST_BLOCK)
            width = np.uint16(self._mix.count)
            codes = drawn.operation_codes - drawn.operation_codes % width + np.uint16(self._mix.faults_disabled)
            yield self._over_network(drawn._replace(operation_codes=codes), loses=False)

    def attempt(self, index: int, number: int) -> int:
        """Return the variant of attempt ``number`` at an operation, drawn anew from the same probabilities."""
        if self._explicit is not None or not self._faults_at_calls:
            return CALL
        key = stream_key(self._scenario.seed, self._agent, "attempt", number)
        call, *lost = np.random.Philox(key=key, counter=index).random_raw(_DRAWS) >> np.uint64(11)
        variant = int(self._later_calls.of(np.array([call]))[0])
        network = self._scenario.network
        loss = 0.0 if network is None or self._network is None else network.loss
        faults = (LOST_REQUEST, LOST_REPLY)
        loss_met = next((fault for fault, draw in zip(faults, lost, strict=False) if draw < _bound(loss)), None)
        return variant if variant or loss_met is None else self._mix.number_of[loss_met]

    def tie_breakers(self) -> Iterator[int]:
        """Yield a rank for each operation, which orders operations that are due at the same instant.

        The rank is the position in the explicit list, or drawn.
        """
        drawn = _drawn_tie_breakers(stream_key(self._scenario.seed, self._agent, "rank"))
        if self._explicit is None:
            return drawn
        return itertools.chain(self._scenario.positions_of[self._agent], drawn)

    def block(self, first: int, count: int) -> PlanBlock:
        """Return the plans of ``count`` operations from index ``first``, without the network's effects."""
        if self._explicit is None:
            return self._after_the_ramp(self._drawn(first, count))
        if first >= self._explicit.operation_codes.size:
            return self._drawn(first, count)
        codes, think_times = self._explicit.operation_codes, self._explicit.think_times
        return PlanBlock(
            first,
            codes[first : first + count],
            None if think_times is None else think_times[first : first + count],
        )

    def _after_the_ramp(self, block: PlanBlock) -> PlanBlock:
        """Return the block with the agent's start in the ramp added to its first think time."""
        starts = self._scenario.starts_of
        if block.first or not starts:
            return block
        think_times = (
            np.zeros(block.operation_codes.size) if block.think_times is None else block.think_times.copy()
        )
        think_times[0] += starts[self._agent]
        return block._replace(think_times=think_times)

    def _listed(self) -> PlanBlock:
        scenario = self._scenario
        number_of = {task: number for number, task in enumerate(scenario.task_names)}
        rows = [(scenario.planned or ())[position] for position in scenario.positions_of[self._agent]]
        fault_of = self._mix.number_of
        codes = [number_of[row.task] * self._mix.count + self._listed_variant(fault_of[row.fault]) for row in rows]
        think_times = np.array([row.delay for row in rows]) if any(row.delay for row in rows) else None
        return PlanBlock(0, np.array(codes, np.uint16), think_times)

    def _listed_variant(self, variant: int) -> int:
        """Return the listed variant, or an ordinary call if clients or proxies apply the faults of calls."""
        return variant if self._faults_at_calls or variant < self._mix.first_call_fault else CALL

    def _drawn(self, first: int, count: int) -> PlanBlock:
        # Philox increments its counter before it draws, so the counter of operation 0 is 1.
        raw = np.random.Philox(key=self._key, counter=first).random_raw(count * _DRAWS)
        task, think, data, call = (raw >> np.uint64(11)).reshape(count, _DRAWS).T
        variants = self._calls.of(call)
        for number, fault in self._bursts:
            variants[self._in_burst(fault, first, count)] = number
        missing = self._data.of(data)
        variants = np.where(missing, missing, variants)
        codes = np.searchsorted(self._last_draws, task, side="right") * self._mix.count + variants
        return PlanBlock(first, codes.astype(np.uint16), self._think_times(think))

    def _in_burst(self, fault: PlannedFault, first: int, count: int) -> npt.NDArray[np.bool_]:
        """Mark the operations that meet a fault that comes in bursts: a Gilbert-Elliott channel.

        One draw decides each step. Below a first bound, the next state is bad; above a second bound, it is good;
        between the bounds, the state does not change. So the state at a step is that of the last draw outside the
        bounds. If the fault is so frequent that bursts of the given mean length would overlap, bursts are longer.
        """
        begin = first - first % _BURSTS_BEGIN_ANEW
        key = stream_key(self._scenario.seed, self._agent, "burst", fault.fault)
        raw = np.random.Philox(key=key, counter=begin).random_raw((first - begin + count) * _DRAWS)[::_DRAWS]
        draw = (raw >> np.uint64(11)) / _DRAW_VALUES
        share = fault.probability
        leave = min(1 / float(fault.parameters["burst"]), 1 - share)
        enter = share * leave / (1 - share) if share < 1 else 1.0
        begins = np.arange(begin, first + count) % _BURSTS_BEGIN_ANEW == 0
        is_bad = draw < np.where(begins, share, enter)
        decides = begins | is_bad | (draw >= 1 - leave)
        last = np.maximum.accumulate(np.where(decides, np.arange(draw.size), 0))
        in_burst: npt.NDArray[np.bool_] = is_bad[last][first - begin :]
        return in_burst

    def _over_network(self, block: PlanBlock, *, loses: bool) -> PlanBlock:
        """Return the block with the network's delays and, with ``loses``, its lost messages as faults."""
        if self._network is None:
            return block
        delays = self._network.block(block.operation_codes.size)
        codes = block.operation_codes
        if loses:
            variants = codes % np.uint16(self._mix.count)
            codes = codes.copy()
            for lost, fault in ((1, LOST_REQUEST), (2, LOST_REPLY)):
                codes[(variants == CALL) & (delays.lost == lost)] += np.uint16(self._mix.number_of[fault])
        return block._replace(operation_codes=codes, request_delays=delays.request, reply_delays=delays.reply)

    def _think_times(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64] | None:
        shortest, longest = float(self._scenario.min_delay), float(self._scenario.max_delay)
        if longest == 0:
            return None
        step = np.float64((longest - shortest) / _DRAW_VALUES)
        return np.float64(shortest) + step * draws


def _drawn_tie_breakers(key: int) -> Iterator[int]:
    """Yield random ranks in increasing order: an agent's operations stay in order, the order of agents varies."""
    draw = Random(key).getrandbits
    for first in itertools.count(0, _TIE_BREAKER_STEP):
        yield first + draw(_TIE_BREAKER_BITS)


def _share(operations: int, agents: int) -> int:
    """Return the size of one agent's block if the blocks of all agents together have ``operations`` operations."""
    return max(_SMALLEST_BLOCK, min(operations // agents, _LARGEST_BLOCK))


class _Draw:
    """Maps draws to variants: the number of a variant, or 0 if a draw lies beyond all their probabilities."""

    def __init__(self, variants: Sequence[tuple[int, PlannedFault]], of_all: float = 1.0) -> None:
        drawn = [(number, fault.probability) for number, fault in variants if fault.probability and of_all > 0]
        bounds = itertools.accumulate(probability / of_all for _, probability in drawn)
        self._bounds = np.array([_bound(min(1.0, bound)) for bound in bounds], np.uint64)
        self._numbers = np.array([*(number for number, _ in drawn), 0], np.int64)

    def of(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the variant number of each draw."""
        numbers: npt.NDArray[np.int64] = self._numbers[np.searchsorted(self._bounds, draws, side="right")]
        return numbers


def _bound(probability: float) -> np.uint64:
    """Return the number below which this share of all possible draws lies."""
    return np.uint64(round(probability * _DRAW_VALUES))
