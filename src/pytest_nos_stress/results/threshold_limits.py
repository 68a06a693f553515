"""Limits of thresholds: refuse a threshold that cannot fail, and one that cannot pass, whatever a run measures."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from pytest_nos_stress._internal.outcome import ERROR

from .metrics import Bounds, Metric
from .thresholds import Relative
from .units import COUNT

_ACCEPT_ERRORS: Final = "to accept errors, write a limit such as errors <= 5, or use expected_errors"
_OPPOSITE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


class _Limits(NamedTuple):
    """Lowest and highest limit that a threshold can get; they are the same unless it is relative to a baseline."""

    lowest: float
    highest: float


def reason_to_refuse(
    metric: Metric, aggregation: str | None, operator: str, limit: float | None, baseline: Relative | None
) -> str:
    """Return the reason for which a threshold decides nothing; empty if it can fail and can pass."""
    bounds = metric.bounds_of(aggregation)
    limits = _limits(limit, baseline, bounds)
    wants_less = operator in ("<", "<=")
    hardest, easiest = (limits.lowest, limits.highest) if wants_less else (limits.highest, limits.lowest)
    name = metric.name + (f".{aggregation}" if aggregation else "")
    if _always_holds(operator, hardest, bounds, metric):
        remedy = _ACCEPT_ERRORS if metric.cell == ERROR else "tighten or remove it"
        return f"this threshold cannot fail: {_described(name, hardest, bounds, metric)}; {remedy}"
    if _always_holds(_OPPOSITE[operator], easiest, bounds, metric):
        return f"this threshold cannot pass: {_described(name, easiest, bounds, metric)}; correct it"
    return ""


def _limits(limit: float | None, baseline: Relative | None, bounds: Bounds) -> _Limits:
    if baseline is None:
        fixed = math.nan if limit is None else limit
        return _Limits(fixed, fixed)
    if not baseline.share:
        return _Limits(baseline.plus, baseline.plus)
    return _Limits(baseline.of(bounds.least), baseline.of(bounds.most))


def _always_holds(operator: str, limit: float, bounds: Bounds, metric: Metric) -> bool:
    """Return True if every value that the metric can have satisfies the comparison."""
    if operator == ">=":
        return limit <= bounds.least
    if operator == ">":
        return limit < bounds.least or (limit == bounds.least and not bounds.includes_least)
    if operator == "<=":
        return limit >= bounds.most
    if operator == "<":
        return limit > bounds.most
    return operator == "!=" and (not bounds.includes(limit) or _is_broken_count(limit, metric))


def _is_broken_count(limit: float, metric: Metric) -> bool:
    return metric.unit is COUNT and not limit.is_integer()


def _described(name: str, limit: float, bounds: Bounds, metric: Metric) -> str:
    """State the bound that decides the threshold."""
    if limit >= bounds.most:
        return f"{name} is at most {metric.text(bounds.most)}"
    if limit > bounds.least:
        return f"{name} is a whole number"
    return f"{name} is {'at least' if bounds.includes_least else 'above'} {metric.text(bounds.least)}"
