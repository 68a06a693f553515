"""Statistics of returns that tell real prices from random walks.

``stylised_facts(returns)`` measures them, and ``broken(facts)`` names those that differ from a real market.
``BOUNDS`` has the range of each statistic, for one series of at least 5,000 returns.

Sources: Cont (2001), "Empirical properties of asset returns: stylized facts and statistical issues", Quantitative
Finance 1, 223-236. The Hill estimator: Hill (1975). EWMA volatility with 0.94: RiskMetrics (1996).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

MIN_RETURNS: Final = 1000
_EWMA: Final = 0.94
_EWMA_START: Final = 100


class StylisedFacts(NamedTuple):
    """The statistics that ``stylised_facts`` measures."""

    autocorrelation: float
    """Mean of the absolute autocorrelations of returns, lags 2 to 20. Real markets: near 0."""

    excess_kurtosis: float
    """Fatness of the tails: 0 for normal returns."""

    tail_index: float
    """Hill's estimate from the largest 5% of absolute returns. Most markets: 3 to 4."""

    aggregational_gaussianity: float
    """Excess kurtosis of sums of 20 returns, divided by that of single returns. Real markets: below 1."""

    fano_factor: float
    """Variance divided by mean of the number of extreme returns (above the 99% quantile) in windows of 100. 1 if
    extreme returns are independent, more if they cluster."""

    volatility_clustering: float
    """Mean autocorrelation of absolute returns, lags 1 to 10."""

    conditional_kurtosis: float
    """Excess kurtosis of returns divided by their EWMA volatility."""

    memory: float
    """Decay of volatility clustering: the negative slope of the autocorrelation of absolute returns against the
    lag, 1 to 100, both as logarithms."""

    leverage: float
    """Mean correlation of a return with the squared returns 1 to 10 later. Real markets: below 0, because falls
    raise volatility."""


BOUNDS: Final = MappingProxyType(
    {
        "autocorrelation": (-math.inf, 0.04),
        "excess_kurtosis": (1.0, 50.0),
        "tail_index": (2.0, 5.0),
        "aggregational_gaussianity": (-0.2, 0.7),
        "fano_factor": (1.5, math.inf),
        "volatility_clustering": (0.08, 0.5),
        "conditional_kurtosis": (0.3, math.inf),
        "memory": (0.1, 0.8),
        "leverage": (-0.3, -0.005),
    }
)
"""The lowest and highest value of each statistic in a real market, both exclusive."""


def stylised_facts(returns: Sequence[float] | _Floats) -> StylisedFacts:
    """Measure logarithmic returns. A statistic that cannot be computed is nan.

    Raises ``ValueError`` for fewer than 1,000 returns, for returns that are not finite, or if all are equal.
    """
    series = np.asarray(returns, np.float64)
    if series.ndim != 1 or len(series) < MIN_RETURNS or not np.isfinite(series).all():
        raise ValueError(f"returns must be a sequence of at least {MIN_RETURNS} finite numbers")
    if not series.std():
        raise ValueError("returns must not all be equal")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _measure(series)


def _measure(series: _Floats) -> StylisedFacts:
    absolute = np.abs(series)
    absolute_autocorrelations = _autocorrelations(absolute, 100)
    return StylisedFacts(
        autocorrelation=float(np.abs(_autocorrelations(series, 20)[1:]).mean()),
        excess_kurtosis=_excess_kurtosis(series),
        tail_index=_tail_index(absolute),
        aggregational_gaussianity=float(np.divide(_excess_kurtosis(_sums(series, 20)), _excess_kurtosis(series))),
        fano_factor=_fano_factor(absolute > np.quantile(absolute, 0.99), 100),
        volatility_clustering=float(absolute_autocorrelations[:10].mean()),
        conditional_kurtosis=_excess_kurtosis(_over_volatility(series)),
        memory=_negative_slope(absolute_autocorrelations),
        leverage=_mean_leverage(series, 10),
    )


def broken(facts: StylisedFacts) -> list[str]:
    """Return the names of the statistics that are not within their ``BOUNDS``."""
    return [name for name, (low, high) in BOUNDS.items() if not low < getattr(facts, name) < high]


def _autocorrelations(series: _Floats, lags: int) -> _Floats:
    centred = series - series.mean()
    size = 1 << (2 * len(series) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariances: Any = np.fft.irfft(spectrum * np.conj(spectrum), size)[: lags + 1]
    return np.asarray(covariances[1:] / covariances[0], np.float64)


def _excess_kurtosis(series: _Floats) -> float:
    squares = (series - series.mean()) ** 2
    return float((squares**2).mean() / squares.mean() ** 2 - 3.0)


def _tail_index(absolute: _Floats) -> float:
    count = len(absolute) // 20
    largest = np.sort(absolute)[-count - 1 :]
    return float(np.divide(1.0, np.log(largest[1:] / largest[0]).mean()))


def _sums(series: _Floats, size: int) -> _Floats:
    length = len(series) // size * size
    return np.asarray(series[:length].reshape(-1, size).sum(axis=1), np.float64)


def _fano_factor(extreme: npt.NDArray[np.bool_], window: int) -> float:
    counts = _sums(extreme.astype(np.float64), window)
    return float(counts.var() / counts.mean())


def _over_volatility(series: _Floats) -> _Floats:
    """Divide each return by the volatility expected from the returns before it."""
    squares, start = (series**2).tolist(), float((series**2).mean())
    variances = accumulate(squares, lambda v, square: _EWMA * v + (1.0 - _EWMA) * square, initial=start)
    expected = np.sqrt(np.array(list(variances)[:-1]))
    return np.asarray(series[_EWMA_START:] / expected[_EWMA_START:], np.float64)


def _negative_slope(autocorrelations: _Floats) -> float:
    lags = np.arange(1, len(autocorrelations) + 1)
    # A logarithm needs a positive number. Autocorrelations at or below 0 are noise around 0.
    values = np.maximum(autocorrelations, 1e-3)
    return -float(np.polyfit(np.log(lags), np.log(values), 1)[0])


def _mean_leverage(series: _Floats, lags: int) -> float:
    squares = series**2
    return float(np.mean([np.corrcoef(series[:-lag], squares[lag:])[0, 1] for lag in range(1, lags + 1)]))
