"""What a network does to one agent's operations: the delay of each message, and which message is lost.

Guarantees: what an operation meets is a function of (network, seed, agent name, operation index), and does not
depend on how many operations are drawn at a time. Delays are whole nanoseconds, so that the last bits of a
logarithm, in which processors differ, do not show.

An operation has four uniform draws of its own, the words of one Philox counter: its round trip, how that is split,
and a step of loss for each direction.

- Correlation: an AR(1) process over normal draws, begun in its stationary state, as a moving average of
  2**m draws with weights 1, c, c**2, ...: the product of the m filters ``1 + c**(2**j) B**(2**j)``, which needs m
  vector additions, always in the same order. It is cut where the weight is below 1e-6.
- Distributions: the quantile function of the delay at the normal draw. Those of tc-netem are tables, as there.
- Bursts: a two-state chain (Gilbert 1960) stepped by one uniform draw: below P(good to bad) the next state is bad
  whatever it was, from 1 - P(bad to good) on it is good whatever it was, and between it stays; so states can be
  filled in without a loop.
- Normal draws: the inverse distribution function by P. J. Acklam's rational approximation (relative error below
  1.2e-9).
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.seeding import stream_key

from .network import Network

ARRIVES, REQUEST_LOST, REPLY_LOST = range(3)

Floats = npt.NDArray[np.float64]

_WORDS: Final = 4
_DRAW_VALUES: Final = float(1 << 53)
_LEAST_WEIGHT: Final = 1e-6
_SMALLEST_PART: Final = 0.25
_Z99: Final = NormalDist().inv_cdf(0.99)
_TABLE_REACH: Final = 8.5
_TABLE_STEP: Final = 1 / 64
_PARETO_SHAPE: Final = 3.0


class OneWayDelays(NamedTuple):
    """What successive operations of one agent meet.

    ``request`` and ``reply`` are seconds on the way there and back; ``lost`` is 0 where both messages arrive, 1
    where the request is lost and 2 where the reply is.
    """

    request: Floats
    reply: Floats
    lost: npt.NDArray[np.uint8]


class NetworkSampler:
    """The draws of one agent, in order. Not for several threads at once."""

    def __init__(self, network: Network, seed: int, agent: str) -> None:
        self._network = network
        self._philox = np.random.Philox(key=stream_key(seed, agent, "network"))
        self._delays = _Delays(network)
        self._loss_of_requests = _Loss(network.loss, network.burst)
        self._loss_of_replies = _Loss(network.loss, network.burst)
        self._earlier = _normal(self._uniforms(self._delays.memory)[0])

    def block(self, count: int) -> OneWayDelays:
        """The next ``count`` operations."""
        delay, part, request, reply = self._uniforms(count)
        normal = np.concatenate((self._earlier, _normal(delay)))
        self._earlier = normal[count:]
        trips = self._delays.of(normal)
        requests = np.rint(trips * (_SMALLEST_PART + (1 - 2 * _SMALLEST_PART) * part) * 1e9)
        replies = np.rint(trips * 1e9) - requests
        lost = np.where(self._loss_of_replies.steps(reply), REPLY_LOST, ARRIVES).astype(np.uint8)
        lost[self._loss_of_requests.steps(request)] = REQUEST_LOST
        return OneWayDelays(requests / 1e9, replies / 1e9, lost)

    def _uniforms(self, count: int) -> Floats:
        """So many operations' draws, a row for each purpose; above 0 and below 1."""
        raw = self._philox.random_raw(count * _WORDS) >> np.uint64(11)
        return np.ascontiguousarray(((raw + 0.5) / _DRAW_VALUES).reshape(count, _WORDS).T)


class _Delays:
    """From independent normal draws to round trips, in seconds."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._filters = _filters(network.correlation)
        self.memory = sum(step for step, _ in self._filters)
        length = self.memory + 1
        self._scale = math.sqrt((1 - network.correlation**2) / (1 - network.correlation ** (2 * length)))

    def of(self, normal: Floats) -> Floats:
        """The round trips of all but the first ``memory`` draws, which only have a part in later ones."""
        for step, weight in self._filters:
            normal = normal[step:] + weight * normal[:-step]
        return _round_trips(self._network, self._scale * normal)


def _filters(correlation: float) -> list[tuple[int, float]]:
    """The steps of the moving average, each twice as far as the one before, with their weights."""
    filters = []
    step, weight = 1, correlation
    while weight > _LEAST_WEIGHT:
        filters.append((step, weight))
        step, weight = 2 * step, weight * weight
    return filters


def _round_trips(network: Network, normal: Floats) -> Floats:
    latency, spread = network.latency, network.p99 if network.jitter is None else network.jitter
    if not spread or network.distribution == "constant":
        return np.full(normal.size, latency)
    if network.distribution == "lognormal":
        return latency * np.exp(math.log(spread / latency) / _Z99 * normal)
    shape = _shape(network.distribution)
    width = spread if network.jitter is not None else (spread - latency) / float(np.interp(_Z99, *shape))
    return np.maximum(latency + width * np.interp(normal, *shape), 0.0)


@functools.cache
def _shape(distribution: str) -> tuple[Floats, Floats]:
    """The delay beyond the median, in units of the jitter, at normal draws a small step apart."""
    normal = np.arange(-_TABLE_REACH, _TABLE_REACH + _TABLE_STEP, _TABLE_STEP)
    above = np.array([math.erfc(z / math.sqrt(2)) / 2 for z in normal.tolist()])
    # The variance of a Pareto distribution with a least value of 1.
    variance = _PARETO_SHAPE / ((_PARETO_SHAPE - 1) ** 2 * (_PARETO_SHAPE - 2))
    pareto = (above ** (-1 / _PARETO_SHAPE) - 0.5 ** (-1 / _PARETO_SHAPE)) / math.sqrt(variance)
    shapes = {
        "uniform": 1 - 2 * above,
        "normal": normal,
        "pareto": pareto,
        "paretonormal": 0.25 * normal + 0.75 * pareto,
    }
    return normal, shapes[distribution]


class _Loss:
    """The two-state chain of one direction; lost messages are those that meet its bad state."""

    def __init__(self, loss: float, burst: float) -> None:
        # A chain that forgets its state at each step has runs of 1 / (1 - loss); none can be shorter.
        self._to_good = 0.0 if loss == 1 else min(1 / burst, 1 - loss)
        self._to_bad = 1.0 if loss == 1 else self._to_good * loss / (1 - loss)
        self._loss = loss
        self._is_bad: bool | None = None

    def steps(self, draws: Floats) -> npt.NDArray[np.bool_]:
        """Whether the next messages meet the bad state."""
        if not self._loss or not draws.size:
            return np.zeros(draws.size, bool)
        turns_bad = draws < self._to_bad
        is_decided = turns_bad | (draws >= 1 - self._to_good)
        turns_bad[0] = self._first(float(draws[0]))
        latest = np.maximum.accumulate(np.where(is_decided, np.arange(draws.size), 0))
        states: npt.NDArray[np.bool_] = turns_bad[latest]
        self._is_bad = bool(states[-1])
        return states

    def _first(self, draw: float) -> bool:
        if self._is_bad is None:
            return draw < self._loss
        if draw < self._to_bad:
            return True
        return self._is_bad and draw < 1 - self._to_good


def _normal(uniform: Floats) -> Floats:
    """Standard normal draws of uniform ones above 0 and below 1."""
    centred = uniform - 0.5
    square = centred * centred
    normal: Floats = _polynomial(_CENTRE_ABOVE, square) * centred / _polynomial(_CENTRE_BELOW, square)
    outside = np.flatnonzero(np.abs(centred) > 0.5 - _TAIL)
    if outside.size:
        distance = np.minimum(uniform[outside], 1 - uniform[outside])
        root = np.sqrt(-2 * np.log(distance))
        tail = _polynomial(_TAIL_ABOVE, root) / _polynomial(_TAIL_BELOW, root)
        normal[outside] = np.copysign(tail, centred[outside])
    return normal


def _polynomial(coefficients: tuple[float, ...], at: Floats) -> Floats:
    value = np.full(at.size, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * at + coefficient
    return value


_TAIL: Final = 0.02425
_CENTRE_ABOVE: Final = (
    -3.969683028665376e01,
    2.209460984245205e02,
    -2.759285104469687e02,
    1.383577518672690e02,
    -3.066479806614716e01,
    2.506628277459239e00,
)
_CENTRE_BELOW: Final = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
    1.0,
)
_TAIL_ABOVE: Final = (
    -7.784894002430293e-03,
    -3.223964580411365e-01,
    -2.400758277161838e00,
    -2.549732539343734e00,
    4.374664141464968e00,
    2.938163982698783e00,
)
_TAIL_BELOW: Final = (
    7.784695709041462e-03,
    3.224671290700398e-01,
    2.445134137142996e00,
    3.754408661907416e00,
    1.0,
)
