r"""Thresholds: expressions that a run must satisfy, and their grammar.

    threshold   = metric [ tags ] [ "." aggregation ] operator limit [ "over" duration ]
                  [ "abort" [ "after" duration ] ]
    tags        = "{" tag "=" value { "," tag "=" value } "}"
    limit       = value | [ share ] "baseline" [ ( "+" | "-" ) value ]
    share       = number "%" "of" | number "x"
    value       = number [ unit ]
    duration    = number unit
    metric      = operations | calls | successes | failures | errors | missing_data    counts
                | success_rate | failure_rate | error_rate | missing_data_rate         0 to 1, or %
                | throughput                                                           operations per second
                | fairness                                             0 to 1: Jain's index of agents' successes
                | latency | response_time                       with min mean med max stddev pNN or pNN.N
                | memory                                                               with growth or peak
    tag         = agent | task | faults | phase        faults=on or off: planned faults in effect or not
                                                       phase=ramp, warmup or steady (the default)
    operator    = < <= > >= == !=
    unit        = % ns us ms s m h /s B kB KiB MB MiB GB GiB

A value in double quotes can hold any character. A quote is written as ``\"``, a backslash as ``\\``, and a line
end as ``\n``.

With ``over``, the threshold must hold in every window of that length. With ``abort``, the run ends when the
threshold fails, but not before the time given by ``after``. ``baseline`` is the value that earlier runs measured.

The grammar follows the thresholds of k6. ``threshold_parser`` parses thresholds, ``judge`` evaluates them.
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
"""Seconds before a run can be aborted, unless the threshold has ``after``."""


class ThresholdError(SettingError):
    """Invalid expression; the message has the reason, the expression and a caret under the mistake."""


class Relative(NamedTuple):
    """Limit relative to a baseline: ``share`` times the baseline's value, plus ``plus`` in the base unit."""

    share: float = 1.0
    plus: float = 0.0

    def of(self, measured: float) -> float:
        """Return the limit for a value that the baseline measured."""
        return self.share * measured + self.plus


class Threshold(NamedTuple):
    """One parsed threshold.

    ``limit`` is in the metric's base unit: a count, a rate from 0 to 1, operations per second, seconds or bytes.
    It is None if the limit is relative to a ``baseline``. ``over`` and ``abort_after`` are in seconds, None if
    absent. ``session_wide`` is True for thresholds from the command line or the ini file, which do not apply to
    runs without the agent, task or phase that they name.
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
        """Return True if a measured value satisfies the threshold, which must have a ``limit``."""
        return OPERATORS[self.operator](measured, self.limit)

    @property
    def definition(self) -> Metric:
        """Row of the metric."""
        return METRICS[self.metric]

    @property
    def wants_less(self) -> bool:
        """True if large values fail the threshold."""
        return self.operator in ("<", "<=") or (self.operator == "==" and self.definition.unit is COUNT)

    @property
    def forbids_calls(self) -> bool:
        """True if only a run that never calls the target satisfies the threshold, such as ``calls == 0``."""
        is_of_run = self.agent is self.task is self.faults is self.phase is None
        is_on_calls = self.metric == "calls" and is_of_run and self.limit is not None
        return is_on_calls and self.holds(0) and not self.holds(1)

    @property
    def percentile(self) -> float | None:
        """Percentage of the percentile, such as 99.9; None for other aggregations."""
        return percent_of(self.aggregation)
