"""Thresholds: the grammar of the expressions that gate a run.

    threshold   = metric [ tags ] [ "." aggregation ] operator limit [ "over" duration ]
                  [ "abort" [ "after" duration ] ]
    tags        = "{" tag "=" value { "," tag "=" value } "}"
    limit       = value | [ share ] "baseline" [ ( "+" | "-" ) value ]
    share       = number "%" "of" | number "x"
    value       = number [ unit ]
    duration    = number unit
    metric      = operations | successes | failures | errors | missing_data            counts
                | success_rate | failure_rate | error_rate | missing_data_rate         0 to 1, or %
                | throughput                                                           operations per second
                | fairness                                             0 to 1: Jain's index of agents' successes
                | latency | response_time                       with min mean med max stddev pNN or pNN.N
                | memory                                                               with growth or peak
    tag         = agent | task | faults | phase        faults=on or off: while they take place, or not
                                                       phase=ramp, warmup or steady (the default)
    operator    = < <= > >= == !=
    unit        = % ns us ms s m h /s B kB KiB MB MiB GB GiB

``over`` holds where it holds in every window of that length. ``abort`` ends a run in which the threshold does not
hold, not before the time after it. ``baseline`` is what an earlier run measured.

The grammar follows k6's thresholds. ``threshold_parser`` reads them, ``judge`` evaluates them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.phases import RAMP, STEADY, WARMUP

from .aggregation import percent_of
from .metrics import METRICS, Metric
from .units import COUNT

STATES_OF_FAULTS: Final = ("on", "off")
PHASES: Final = (RAMP, WARMUP, STEADY)
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
GRACE: Final = 5.0
"""Seconds before a run is aborted, where a threshold does not say."""


class ThresholdError(SettingError):
    """An expression that does not parse: the reason, the expression and a caret under the mistake."""


class Relative(NamedTuple):
    """A limit relative to a baseline: ``share`` times what that measured, ``plus`` (in the metric's base unit)."""

    share: float = 1.0
    plus: float = 0.0

    def of(self, measured: float) -> float:
        return self.share * measured + self.plus


class Threshold(NamedTuple):
    """One parsed threshold.

    ``limit`` is in the metric's base unit: a count, a rate from 0 to 1, operations per second, seconds or bytes;
    None where it is relative to a ``baseline``. ``over`` and ``abort_after`` are in seconds, None where there is
    none. ``session_wide`` ones come from the command line or an ini file: a run that has no such agent or task
    is none of theirs.
    """

    text: str
    metric: str
    agent: str | None
    task: str | None
    aggregation: str | None
    operator: str
    limit: float | None
    session_wide: bool = False
    faults: str | None = None
    phase: str | None = None
    over: float | None = None
    baseline: Relative | None = None
    abort_after: float | None = None

    def holds(self, measured: float) -> bool:
        return OPERATORS[self.operator](measured, self.limit)

    @property
    def definition(self) -> Metric:
        """The metric's row."""
        return METRICS[self.metric]

    @property
    def wants_less(self) -> bool:
        """Whether it is the larger values that break it."""
        return self.operator in ("<", "<=") or (self.operator == "==" and self.definition.unit is COUNT)

    @property
    def percentile(self) -> float | None:
        """The percentile asked for, if one is."""
        return percent_of(self.aggregation)
