"""Statistics of a series of returns by which real prices are told from random walks.

``stylised_facts(returns)`` measures them, ``broken(facts)`` says which are not as in a real market. The bounds are
those of ``BOUNDS``, meant for one series of at least 5,000 returns.

Source: Cont (2001), "Empirical properties of asset returns: stylized facts and statistical issues", Quantitative
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

LEAST_RETURNS: Final = 1000
_EWMA: Final = 0.94
_EWMA_START: Final = 100


class StylisedFacts(NamedTuple):
    """What ``stylised_facts`` found."""

    autocorrelation: float
    """Mean of the absolute autocorrelations of returns, lags 2 to 20: near 0."""

    excess_kurtosis: float
    """Fat tails: 0 for normal returns."""

    tail_index: float
    """Hill's estimate from the largest 5 % of absolute returns: 3 to 4 in most markets."""

    aggregational_gaussianity: float
    """Excess kurtosis of sums of 20 returns over that of single ones: below 1."""

    fano_factor: float
    """Variance over mean of the number of extreme returns (beyond the 99 % quantile) in windows of 100: 1 if
    independent, more if they cluster."""

    volatility_clustering: float
    """Mean autocorrelation of absolute returns, lags 1 to 10."""

    conditional_kurtosis: float
    """Excess kurtosis of returns divided by their EWMA volatility."""

    memory: float
    """How slowly clustering fades: the negative slope of the autocorrelation of absolute returns against the lag,
    1 to 100, both as logarithms."""

    leverage: float
    """Mean correlation of a return with squared returns 1 to 10 later: below 0, as falls make markets nervous."""


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
"""Between which values each statistic of a real market lies."""


def stylised_facts(returns: Sequence[float] | _Floats) -> StylisedFacts:
    """Measure logarithmic returns; what a series does not let be measured is nan.

    Raises ``ValueError`` for fewer than 1,000 returns, or where none differ.
    """
    series = np.asarray(returns, np.float64)
    if series.ndim != 1 or len(series) < LEAST_RETURNS or not np.isfinite(series).all():
        raise ValueError(f"returns must be a row of at least {LEAST_RETURNS} finite numbers")
    if not series.std():
        raise ValueError("returns must differ from each other")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _measured(series)


def _measured(series: _Floats) -> StylisedFacts:
    absolute = np.abs(series)
    of_absolute = _autocorrelations(absolute, 100)
    return StylisedFacts(
        autocorrelation=float(np.abs(_autocorrelations(series, 20)[1:]).mean()),
        excess_kurtosis=_excess_kurtosis(series),
        tail_index=_tail_index(absolute),
        aggregational_gaussianity=float(np.divide(_excess_kurtosis(_sums(series, 20)), _excess_kurtosis(series))),
        fano_factor=_fano_factor(absolute > np.quantile(absolute, 0.99), 100),
        volatility_clustering=float(of_absolute[:10].mean()),
        conditional_kurtosis=_excess_kurtosis(_over_volatility(series)),
        memory=_negative_slope(of_absolute),
        leverage=_mean_leverage(series, 10),
    )


def broken(facts: StylisedFacts) -> list[str]:
    """The names of the statistics that are not within their ``BOUNDS``."""
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
    whole = len(series) // size * size
    return np.asarray(series[:whole].reshape(-1, size).sum(axis=1), np.float64)


def _fano_factor(extreme: npt.NDArray[np.bool_], window: int) -> float:
    counts = _sums(extreme.astype(np.float64), window)
    return float(counts.var() / counts.mean())


def _over_volatility(series: _Floats) -> _Floats:
    """Returns divided by the volatility that those before them let expect."""
    squares, start = (series**2).tolist(), float((series**2).mean())
    variances = accumulate(squares, lambda v, square: _EWMA * v + (1.0 - _EWMA) * square, initial=start)
    expected = np.sqrt(np.array(list(variances)[:-1]))
    return np.asarray(series[_EWMA_START:] / expected[_EWMA_START:], np.float64)


def _negative_slope(autocorrelations: _Floats) -> float:
    lags = np.arange(1, len(autocorrelations) + 1)
    # A logarithm needs a positive number; what is not is noise around nothing.
    values = np.maximum(autocorrelations, 1e-3)
    return -float(np.polyfit(np.log(lags), np.log(values), 1)[0])


def _mean_leverage(series: _Floats, lags: int) -> float:
    squares = series**2
    return float(np.mean([np.corrcoef(series[:-lag], squares[lag:])[0, 1] for lag in range(1, lags + 1)]))
