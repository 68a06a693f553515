"""Comparison of a run's figure with that of a baseline, by a confidence interval.

Two runs of the same code never give the same figure. A threshold relative to a baseline therefore fails only if
the new figure exceeds the limit, ``share x baseline + plus``, by more than noise, at a confidence of 99%. Noise
has two parts:

* within a run: a bootstrap of the blocks of both sides (``scipy.stats.bootstrap``, percentile method). Each kept
  run is resampled separately;
* from run to run: the standard deviation of the figure over the kept runs. It applies in full to the new run, and
  divided by sqrt(runs) to the mean of the kept runs. This is a random-effects model, as in a meta-analysis
  (DerSimonian and Laird, "Meta-analysis in clinical trials", Controlled Clinical Trials 7, 1986). For durations
  and throughput in real time it is assumed to be at least 2%, since few runs cannot measure it.

The two parts are independent, so the arms of the interval are added in quadrature. The bootstrap has a fixed seed,
so the same runs always give the same interval.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.metrics import METRICS
from pytest_nos_stress.results.records import Column

from .metrics import BlockTable, divided
from .sketch import RESOLUTION, RunSketch

CONFIDENCE: Final = 0.99
ASSUMED_DEVIATION: Final = 0.02
"""Smallest relative standard deviation from run to run, for durations and throughput in real time.

Runs in virtual time have no such deviation; there, the width of a histogram's bucket limits the precision.
"""
OPERATORS: Final = ("<", "<=", ">", ">=")

_RESAMPLES: Final = 2_000
_SEED: Final = 20_260_101
_DEVIATIONS: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

_DEFAULTS: Final = (
    "latency.p25 <= 1.1x baseline + 10us",
    "latency.p50 <= 1.2x baseline + 10us",
    "latency.p95 <= 1.5x baseline + 20ms",
    "throughput >= 50% of baseline",
    "failure_rate <= baseline + 1%",
    "error_rate <= baseline + 1%",
)


def default_expressions() -> tuple[str, ...]:
    """Return the thresholds for a run that is compared with a baseline and has no threshold relative to it.

    The strict threshold is on p25, the fastest quarter of the calls. Other processes, the scheduler and the
    interpreter's lock can only add time. On a busy machine they add time to most calls, but hardly to the fastest,
    while slower code is slower there too (Chen and Revels, "Robust benchmarking in noisy environments", 2016). The
    other thresholds are wide enough for a shared machine, and detect large changes of the remaining calls.
    Failures, including injected ones, are compared as rates, and the interval accounts for their variation by
    seed.
    """
    return _DEFAULTS


@dataclass(frozen=True)
class Interval:
    """Figures of a new run and of a baseline, with the confidence interval of their ratio.

    ``value`` and ``baseline_value`` are in the metric's base unit, None without data. ``ratio`` is new divided by
    old, None if the old figure is zero; ``low`` and ``high`` are its 99% interval. ``enough`` is True if there is
    enough data to judge; otherwise ``note`` states what is missing. ``absent`` is True if neither side has any
    data, such as the latency of a run in virtual time in which nothing took time.
    """

    value: float | None
    baseline_value: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    enough: bool = False
    note: str = ""
    absent: bool = False
    _noise: _Noise | None = field(default=None, repr=False, compare=False)

    def excess(self, share: float = 1.0, plus: float = 0.0) -> tuple[float, float]:
        """Return the 99% interval of ``new - (share x baseline + plus)`` in the base unit; NaN without data."""
        if self._noise is None:
            return math.nan, math.nan
        return self._noise.excess(share, plus)

    def fails(self, operator: str, share: float = 1.0, plus: float = 0.0) -> bool:
        """Return True if ``metric operator share x baseline + plus`` fails: the interval is beyond the limit.

        ``operator`` must be one of ``OPERATORS``, otherwise ``SettingError`` is raised: two measurements are never
        equal. Read ``enough`` first, because the answer is False if there is not enough data.
        """
        if operator not in OPERATORS:
            raise SettingError(f"operator {operator!r} with a baseline; must be one of {' '.join(OPERATORS)}")
        low, high = self.excess(share, plus)
        return low > 0 if operator.startswith("<") else high < 0


def compare(
    new: RunSketch,
    baseline: Sequence[RunSketch],
    metric: str,
    aggregation: str | None = None,
    task: str | None = None,
    *,
    modelled_time: bool = False,
) -> Interval:
    """Compare one figure of a run with the same figure of the kept runs of a baseline.

    Args:
        new: The run.
        baseline: The kept runs, at least one.
        metric: Name of a metric that baselines keep (``in_baseline``).
        aggregation: ``min mean med max stddev`` or ``pNN`` for a duration, None for other metrics.
        task: Name of one task; None for all tasks.
        modelled_time: True if both ran in virtual time, where the machine adds no noise from run to run.

    Raises:
        SettingError: Baselines do not keep the metric, or SciPy is not installed.
    """
    row = METRICS.get(metric)
    if row is None or not row.in_baseline:
        names = ", ".join(known.name for known in METRICS.values() if known.in_baseline)
        raise SettingError(f"metric={metric}: baselines do not keep it; must be one of {names}")
    missing = [owner for owner, runs in (("run", [new]), ("baseline", baseline)) if not _have(runs, task)]
    if missing:
        return Interval(None, None, note=f"the {missing[0]} has no task {task!r}")
    after, before = BlockTable([new], row, aggregation, task), BlockTable(baseline, row, aggregation, task)
    value, baseline_value = after.figure(), before.figure()
    note = after.lacks("the run") or before.lacks("the baseline")
    if note or value is None or baseline_value is None:
        absent = not after.samples and not before.samples
        return Interval(value, baseline_value, note=note or "no samples", absent=absent)
    noise = _noise(after, before, value, baseline_value, modelled_time=modelled_time)
    if baseline_value == 0:
        return Interval(value, baseline_value, enough=True, _noise=noise)
    return Interval(value, baseline_value, value / baseline_value, *noise.ratio(), enough=True, _noise=noise)


def _have(runs: Sequence[RunSketch], task: str | None) -> bool:
    return task is None or all(task in run.tasks for run in runs)


@dataclass(frozen=True, eq=False)
class _Noise:
    """Resampled values of both figures, and their standard deviations from run to run."""

    value: float
    baseline_value: float
    new: Column
    old: Column
    deviation: float
    baseline_deviation: float

    def excess(self, share: float, plus: float) -> tuple[float, float]:
        middle = self.value - share * self.baseline_value - plus
        arm = _DEVIATIONS * math.hypot(self.deviation, share * self.baseline_deviation)
        return _widened(middle, self.new - share * self.old - plus, arm)

    def ratio(self) -> tuple[float, float]:
        """Return the interval of new divided by old. The delta method gives the deviation from run to run."""
        middle = self.value / self.baseline_value
        arm = _DEVIATIONS * math.hypot(self.deviation, middle * self.baseline_deviation) / self.baseline_value
        low, high = _widened(middle, _filled(divided(self.new, self.old), middle), arm)
        return max(0.0, low), high


def _widened(middle: float, resampled: Column, arm: float) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail)).tolist()
    below, above = max(0.0, middle - low), max(0.0, high - middle)
    return middle - math.hypot(below, arm), middle + math.hypot(above, arm)


def _noise(
    after: BlockTable, before: BlockTable, value: float, baseline_value: float, *, modelled_time: bool
) -> _Noise:
    new, old = _resample(after, before, value, baseline_value)
    deviation = _deviation(before.figures())
    of_new, of_old = deviation, deviation
    if after.is_relative:
        least = RESOLUTION / _DEVIATIONS if modelled_time else ASSUMED_DEVIATION
        relative = max(least, deviation / baseline_value) if baseline_value else least
        of_new, of_old = relative * value, relative * baseline_value
    return _Noise(
        value,
        baseline_value,
        new,
        old,
        of_new,
        of_old / math.sqrt(before.runs),
    )


def _deviation(figures: Column) -> float:
    return float(np.std(figures, ddof=1)) if figures.size > 1 else 0.0


def _filled(resampled: Column, figure: float) -> Column:
    """Replace NaN by the figure itself: a resample without samples carries no information."""
    return np.where(np.isnan(resampled), figure, resampled)


def _resample(after: BlockTable, before: BlockTable, value: float, baseline_value: float) -> Column:
    """Return both figures for each resample of the blocks of each run, as two rows."""
    bootstrap = _scipy_bootstrap()

    def figures(new: Column, *old: Column, **_: int) -> Column:
        weights = np.hstack([_weights(blocks) for blocks in old])
        new_figures, old_figures = after.resampled(_weights(new)), before.resampled(weights)
        return np.stack([_filled(new_figures, value), _filled(old_figures, baseline_value)])

    result = bootstrap(
        [np.arange(size) for size in (*after.sizes, *before.sizes)],
        figures,
        n_resamples=_RESAMPLES,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
    )
    resampled: Column = result.bootstrap_distribution
    return resampled


def _weights(chosen: Column) -> Column:
    """Return how many times each block was chosen, for each row of a resample."""
    rows, blocks = chosen.shape
    cells = np.arange(rows)[:, None] * blocks + chosen.astype(np.int64)
    return np.bincount(cells.ravel(), minlength=rows * blocks).reshape(rows, blocks).astype(np.float64)


def _scipy_bootstrap() -> Any:
    try:
        from scipy.stats import bootstrap
    except ImportError:
        raise SettingError(
            "a comparison with a baseline needs SciPy: pip install 'pytest-nos-stress[compare]'"
        ) from None
    # SciPy 1.15 renamed the argument to rng.
    name = "rng" if "rng" in inspect.signature(bootstrap).parameters else "random_state"
    return partial(bootstrap, **{name: np.random.default_rng(_SEED)})
