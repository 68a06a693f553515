"""How volatility changes from session to session, and the models of prices that are made of it.

Guarantees: a process is a function of its state and the numbers it is given, so a path can be continued from any
session whose state is known. Parameters are those of daily returns; a year has 252 sessions.

Sources: several exponential memories add up to the slow decay of volatility's autocorrelation (Corsi 2009, "A
simple approximate long-memory model of realized volatility"; LeBaron 2001); Glosten, Jagannathan and Runkle
(1993); Bates (1996). That bad news raises volatility: Black (1976).
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

SESSIONS_A_YEAR: Final = 252
INNOVATIONS: Final = 3
"""Normal numbers that a process may use for one session."""

State = tuple[float, ...]


class Shocks(NamedTuple):
    """What happens in successive sessions.

    ``normal``: the normal part of each session's return; ``shocks``: the return in units of volatility; ``fresh``:
    ``INNOVATIONS`` more normal numbers for each session.
    """

    normal: Floats
    shocks: Floats
    fresh: Floats


class Volatility(Protocol):
    """A process of the volatility of session returns."""

    @property
    def level(self) -> float:
        """The volatility of an ordinary session, as a fraction: 0.0115 is 1.15 %."""

    def at_the_beginning(self) -> State:
        """The state before the first session: ordinary times."""

    def over_sessions(self, state: State, news: Shocks) -> tuple[Floats, State]:
        """The volatility in each session, and the state after the last."""


@dataclass(frozen=True)
class LogVolatility:
    """The logarithm of volatility is a sum of AR(1) processes with memories of days, weeks and a year.

    ``memories`` in periods, ``sizes`` are the standard deviations in the logarithm, ``leverage`` the correlation
    of a change of volatility with the return before it.
    """

    level: float = 0.0115
    memories: tuple[float, ...] = (3.0, 25.0, 250.0)
    sizes: tuple[float, ...] = (0.22, 0.26, 0.34)
    leverage: float = -0.30

    def at_the_beginning(self) -> State:
        return (0.0,) * len(self.memories)

    def over_sessions(self, state: State, news: Shocks) -> tuple[Floats, State]:
        log, after = np.full(len(news.normal), math.log(self.level) - sum(size**2 for size in self.sizes)), []
        for number, (memory, size, before) in enumerate(zip(self.memories, self.sizes, state, strict=True)):
            kept = math.exp(-1.0 / memory)
            changes = self.leverage * news.normal + math.sqrt(1.0 - self.leverage**2) * news.fresh[:, number]
            component = decaying(before, kept, math.sqrt(1.0 - kept**2) * changes)
            log += size * component[:-1]
            after.append(float(component[-1]))
        return np.exp(log), tuple(after)


@dataclass(frozen=True)
class Gjr:
    """GJR-GARCH(1,1): the variance follows the squares of returns, more so those of falls."""

    level: float = 0.0115
    alpha: float = 0.03
    beta: float = 0.90
    gamma: float = 0.10

    def at_the_beginning(self) -> State:
        return (self.level**2,)

    def over_sessions(self, state: State, news: Shocks) -> tuple[Floats, State]:
        constant = self.level**2 * (1.0 - self.alpha - self.beta - self.gamma / 2.0)
        factors = self.beta + (self.alpha + self.gamma * (news.shocks < 0)) * news.shocks**2
        variances = list(accumulate(factors.tolist(), lambda v, factor: constant + v * factor, initial=state[0]))
        return np.sqrt(variances[:-1]), (variances[-1],)


@dataclass(frozen=True)
class Heston:
    """The variance returns to its mean by a square-root process: Heston (1993), of which Bates' model has jumps
    too.

    Parameters are for a year: ``speed`` of the return, ``mean`` of the variance, ``size`` of its changes, and
    their correlation with returns.
    """

    speed: float = 5.0
    mean: float = 0.03
    size: float = 0.5
    leverage: float = -0.7

    @property
    def level(self) -> float:
        return math.sqrt(self.mean / SESSIONS_A_YEAR)

    def at_the_beginning(self) -> State:
        return (self.mean,)

    def over_sessions(self, state: State, news: Shocks) -> tuple[Floats, State]:
        changes = self.leverage * news.normal + math.sqrt(1.0 - self.leverage**2) * news.fresh[:, 0]
        scaled = (self.size / math.sqrt(SESSIONS_A_YEAR) * changes).tolist()
        pull = self.speed / SESSIONS_A_YEAR
        lowest = self.mean / 100.0

        def after(variance: float, change: float) -> float:
            return max(lowest, variance + pull * (self.mean - variance) + math.sqrt(variance) * change)

        variances = list(accumulate(scaled, after, initial=state[0]))
        return np.sqrt(np.array(variances[:-1]) / SESSIONS_A_YEAR), (variances[-1],)


@dataclass(frozen=True)
class Jumps:
    """Sudden changes between sessions: how many a year, their mean and standard deviation (as logarithms)."""

    rate: float
    mean: float
    size: float


@dataclass(frozen=True)
class Model:
    """What a market's prices are like.

    ``daily``: volatility from session to session. ``tails``: degrees of freedom of Student's t for a session's
    shock, None for normal ones. ``minutes`` and ``minute_tails``: the same within a session, from minute to
    minute, around the session's volatility (``minutes.level`` is 1).
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


def decaying(before: float, kept: float, news: Floats) -> Floats:
    """An AR(1) process: its value before each of the news, and after the last."""
    return np.array(list(accumulate(news.tolist(), lambda value, new: kept * value + new, initial=before)))


def student_scale(drawn: Floats, tails: int | None) -> Floats:
    """What turns normal numbers into Student's t of variance 1, made of ``tails`` normal numbers for each."""
    if tails is None:
        return np.ones(len(drawn))
    squares = np.sum(drawn[:, :tails] ** 2, axis=1)
    return np.asarray(np.sqrt((tails - 2) / squares), np.float64)
