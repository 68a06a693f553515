"""Network sampling: draws the delay of each message of one agent's operations, and the messages that are lost.

Guarantees: the draws of an operation are a function of (network, seed, agent name, operation index). They do not
depend on the number of operations drawn at a time. Delays are whole nanoseconds, so that differences between
processors in the last bits of a logarithm have no effect.

An operation has four uniform draws, the words of one Philox counter: its round trip, the division of the round
trip between request and reply, and a step of loss for each direction.

- Correlation: an AR(1) process over normal draws, started in its stationary state. It is computed as a moving
  average of 2**m draws with weights 1, c, c**2, ...: the product of the m filters ``1 + c**(2**j) B**(2**j)``,
  which needs m vector additions, always in the same order. Weights below 1e-6 are left out.
- Distributions: the quantile function of the delay, at the normal draw. The distributions of tc-netem are tables
  here, too.
- Bursts: a two-state chain (Gilbert 1960) with one uniform draw per step. Below P(good to bad), the next state is
  bad. From 1 - P(bad to good), it is good. Between these bounds, the state does not change. So the states can be
  computed without a loop.
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
    """Delays and losses of successive operations of one agent.

    ``request`` and ``reply`` are seconds. ``lost`` is ``ARRIVES`` (0) if both messages arrive, ``REQUEST_LOST``
    (1) or ``REPLY_LOST`` (2).
    """

    request: Floats
    reply: Floats
    lost: npt.NDArray[np.uint8]


class NetworkSampler:
    """Draws of one agent, in order. Not thread-safe."""

    def __init__(self, network: Network, seed: int, agent: str) -> None:
        self._network = network
        self._philox = np.random.Philox(key=stream_key(seed, agent, "network"))
        self._delays = _Delays(network)
        self._loss_of_requests = _Loss(network.loss, network.burst)
        self._loss_of_replies = _Loss(network.loss, network.burst)
        self._earlier = _normal(self._uniforms(self._delays.memory)[0])

    def block(self, count: int) -> OneWayDelays:
        """Return the delays and losses of the next ``count`` operations."""
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
        """Return the draws of the next ``count`` operations, above 0 and below 1: one row per purpose."""
        raw = self._philox.random_raw(count * _WORDS) >> np.uint64(11)
        return np.ascontiguousarray(((raw + 0.5) / _DRAW_VALUES).reshape(count, _WORDS).T)


class _Delays:
    """Conversion of independent normal draws to round trips, in seconds."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._filters = _filters(network.correlation)
        self.memory = sum(step for step, _ in self._filters)
        length = self.memory + 1
        self._scale = math.sqrt((1 - network.correlation**2) / (1 - network.correlation ** (2 * length)))

    def of(self, normal: Floats) -> Floats:
        """Return the round trips of all draws except the first ``memory``, which only affect later round trips."""
        for step, weight in self._filters:
            normal = normal[step:] + weight * normal[:-step]
        return _round_trips(self._network, self._scale * normal)


def _filters(correlation: float) -> list[tuple[int, float]]:
    """Return the lags of the moving average with their weights. Each lag is twice the lag before."""
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
    """Return a table of the delay relative to the median, in units of the jitter, by normal draw."""
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
    """Two-state chain of one direction. Messages in the bad state are lost."""

    def __init__(self, loss: float, burst: float) -> None:
        # Independent losses have runs of mean length 1 / (1 - loss). Shorter runs are not possible here.
        self._to_good = 0.0 if loss == 1 else min(1 / burst, 1 - loss)
        self._to_bad = 1.0 if loss == 1 else self._to_good * loss / (1 - loss)
        self._loss = loss
        self._is_bad: bool | None = None

    def steps(self, draws: Floats) -> npt.NDArray[np.bool_]:
        """Return True for each of the next messages that meets the bad state."""
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
    """Return standard normal draws from uniform draws above 0 and below 1."""
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
