"""The names of what can be measured of a run, as thresholds and baselines have them."""

from __future__ import annotations

from typing import Final

COUNTS: Final = ("operations", "successes", "failures", "errors", "missing_data")
RATES: Final = ("success_rate", "failure_rate", "error_rate", "missing_data_rate")
DURATIONS: Final = ("latency", "response_time")
THROUGHPUT: Final = "throughput"
FAIRNESS: Final = "fairness"
MEMORY: Final = "memory"
METRICS: Final = (*COUNTS, *RATES, THROUGHPUT, FAIRNESS, *DURATIONS, MEMORY)
TIMED: Final = (*DURATIONS, THROUGHPUT)
"""Metrics that a slow harness makes worse."""
