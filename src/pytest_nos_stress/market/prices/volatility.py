"""Processes of volatility from session to session, and the models of prices that use them.

Guarantees: a process is a function of its state and its random numbers, so a path can be continued from any
session whose state is known. Parameters are for daily returns; a year has 252 sessions.

Sources: several exponential memories add up to the slow decay of volatility's autocorrelation (Corsi 2009, "A
simple approximate long-memory model of realized volatility"; LeBaron 2001). GJR-GARCH: Glosten, Jagannathan and
Runkle (1993). Jumps: Bates (1996). Bad news raises volatility: Black (1976).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np

from .rng import Floats

SESSIONS_PER_YEAR: Final = 252
INNOVATIONS: Final = 3
"""Number of normal numbers that a process can use per session, besides the return's."""

State = tuple[float, ...]


class Shocks(NamedTuple):
    """Random shocks of successive sessions.

    ``normal``: the normal part of each session's return; ``standardized``: the return in units of volatility;
    ``innovations``: ``INNOVATIONS`` further normal numbers per session.
    """

    normal: Floats
    standardized: Floats
    innovations: Floats


class Volatility(Protocol):
    """A process of the volatility of session returns."""

    @property
    def level(self) -> float:
        """The volatility of an ordinary session, as a fraction: 0.0115 is 1.15%."""

    def initial_state(self) -> State:
        """Return the state before the first session: that of ordinary times."""

    def evolve(self, state: State, shocks: Shocks) -> tuple[Floats, State]:
        """Return the volatility in each session, and the state after the last session."""


@dataclass(frozen=True)
class LogVolatility:
    """A process in which the logarithm of volatility is a sum of AR(1) processes.

    ``level``: the volatility of an ordinary session. ``memories``: in sessions; by default of days, weeks and a
    year. ``sizes``: standard deviations of the logarithm. ``leverage``: the correlation of a change of volatility
    with the return before it.
    """

    level: float = 0.0115
    memories: tuple[float, ...] = (3.0, 25.0, 250.0)
    sizes: tuple[float, ...] = (0.22, 0.26, 0.34)
    leverage: float = -0.30

    def initial_state(self) -> State:
        return (0.0,) * len(self.memories)

    def evolve(self, state: State, shocks: Shocks) -> tuple[Floats, State]:
        log, end_state = (
            np.full(len(shocks.normal), math.log(self.level) - sum(size**2 for size in self.sizes)),
            [],
        )
        for number, (memory, size, before) in enumerate(zip(self.memories, self.sizes, state, strict=True)):
            persistence = math.exp(-1.0 / memory)
            changes = (
                self.leverage * shocks.normal + math.sqrt(1.0 - self.leverage**2) * shocks.innovations[:, number]
            )
            component = ar1_path(before, persistence, math.sqrt(1.0 - persistence**2) * changes)
            log += size * component[:-1]
            end_state.append(float(component[-1]))
        return np.exp(log), tuple(end_state)


@dataclass(frozen=True)
class Gjr:
    """GJR-GARCH(1,1): the variance follows the squares of returns, and falls raise it more than rises."""

    level: float = 0.0115
    alpha: float = 0.03
    beta: float = 0.90
    gamma: float = 0.10

    def initial_state(self) -> State:
        return (self.level**2,)

    def evolve(self, state: State, shocks: Shocks) -> tuple[Floats, State]:
        constant = self.level**2 * (1.0 - self.alpha - self.beta - self.gamma / 2.0)
        factors = self.beta + (self.alpha + self.gamma * (shocks.standardized < 0)) * shocks.standardized**2
        variances = list(accumulate(factors.tolist(), lambda v, factor: constant + v * factor, initial=state[0]))
        return np.sqrt(variances[:-1]), (variances[-1],)


@dataclass(frozen=True)
class Heston:
    """A square-root process of the variance, which reverts to its mean: Heston (1993). Bates' model adds jumps.

    Parameters are per year. ``speed``: of the reversion. ``mean``: of the variance. ``size``: of its changes.
    ``leverage``: the correlation of these changes with returns.
    """

    speed: float = 5.0
    mean: float = 0.03
    size: float = 0.5
    leverage: float = -0.7

    @property
    def level(self) -> float:
        return math.sqrt(self.mean / SESSIONS_PER_YEAR)

    def initial_state(self) -> State:
        return (self.mean,)

    def evolve(self, state: State, shocks: Shocks) -> tuple[Floats, State]:
        changes = self.leverage * shocks.normal + math.sqrt(1.0 - self.leverage**2) * shocks.innovations[:, 0]
        scaled = (self.size / math.sqrt(SESSIONS_PER_YEAR) * changes).tolist()
        pull = self.speed / SESSIONS_PER_YEAR
        lowest = self.mean / 100.0

        def next_variance(variance: float, change: float) -> float:
            return max(lowest, variance + pull * (self.mean - variance) + math.sqrt(variance) * change)

        variances = list(accumulate(scaled, next_variance, initial=state[0]))
        return np.sqrt(np.array(variances[:-1]) / SESSIONS_PER_YEAR), (variances[-1],)


@dataclass(frozen=True)
class Jumps:
    """Jumps between sessions: ``rate`` per year, ``mean`` and standard deviation (``size``) of the log price."""

    rate: float
    mean: float
    size: float


@dataclass(frozen=True)
class Model:
    """Parameters of a market's prices.

    ``daily``: volatility from session to session. ``tails``: degrees of freedom of Student's t for a session's
    shock; None for normal shocks. ``jumps``: None for none. ``minutes`` and ``minute_tails``: volatility and tails
    from minute to minute within a session, relative to the session's volatility (``minutes.level`` is 1).
    """

    daily: Volatility
    tails: int | None
    jumps: Jumps | None
    minutes: LogVolatility = field(
        default_factory=lambda: LogVolatility(1.0, memories=(4.0, 30.0), sizes=(0.25, 0.20), leverage=-0.95)
    )
    minute_tails: int | None = 8


MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "equity": Model(LogVolatility(), tails=6, jumps=Jumps(rate=2.0, mean=-0.005, size=0.015)),
        "gjr": Model(Gjr(), tails=6, jumps=None),
        "bates": Model(Heston(), tails=None, jumps=Jumps(rate=12.0, mean=-0.01, size=0.03)),
        "calm": Model(
            LogVolatility(0.005, sizes=(0.05, 0.05, 0.05)),
            tails=None,
            jumps=None,
            minutes=LogVolatility(1.0, memories=(4.0, 40.0), sizes=(0.05, 0.05)),
            minute_tails=None,
        ),
    }
)


def ar1_path(initial: float, persistence: float, innovations: Floats) -> Floats:
    """Return the values of an AR(1) process: before each innovation, and after the last."""
    return np.array(
        list(accumulate(innovations.tolist(), lambda value, new: persistence * value + new, initial=initial))
    )


def student_scale(drawn: Floats, tails: int | None) -> Floats:
    """Return factors that turn normal numbers into Student's t of variance 1.

    Each factor is made of ``tails`` normal numbers, the degrees of freedom.
    """
    if tails is None:
        return np.ones(len(drawn))
    squares = np.sum(drawn[:, :tails] ** 2, axis=1)
    return np.asarray(np.sqrt((tails - 2) / squares), np.float64)
