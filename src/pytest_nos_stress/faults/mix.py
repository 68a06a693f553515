"""Fault mix of a scenario: the variants of an operation's plan, by number.

The first variant is an ordinary call. The last is a call while faults are disabled: outside of the fault windows,
or in the recovery phase. Between them are the kinds of missing data and the faults of calls. The plan, the agents
and the statistics use these numbers, so an operation's plan is one small number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.outcome import MISSING, Outcome

from .call_faults import CallEffect, FaultyCall
from .catalogue import (
    LOST_REPLY,
    LOST_REQUEST,
    MISSING_DATA,
    NO_FAULT,
    ROWS,
    DataFault,
    Fault,
    plannable_faults,
    unexecuted_parts,
)
from .errors import InjectedFault
from .settings import WeightedFault, drawn_call_faults, drawn_data_faults, planned_states

CALL: Final = 0
"""Number of the ordinary call."""

FAULTS: Final = plannable_faults()
"""Names of all faults that can be planned for an operation."""


def most_variants() -> int:
    """Return the size of the largest mix: each fault, an ordinary call and one with faults disabled."""
    return len(plannable_faults()) + 2


class PlannedFault(NamedTuple):
    """One variant of a fault mix.

    ``fault`` is the fault's name; None for an ordinary call. ``probability`` is the probability of its draw. For a
    fault of calls, this is the probability in operations without missing data. ``switched_off`` is True for the
    variant with faults disabled.
    """

    fault: str | None
    probability: float = 0.0
    parameters: Mapping[str, Any] = FrozenDict({})
    switched_off: bool = False

    @property
    def row(self) -> Fault:
        """Row of the fault in the catalogue."""
        return NO_FAULT if self.fault is None else ROWS[self.fault]

    @property
    def outcome(self) -> Outcome:
        """Outcome of an operation that ends as planned."""
        return self.row.outcome

    def enters_target(self, *, takes_operation: bool) -> bool:
        """Return True if an operation that goes as planned enters the target's function.

        ``takes_operation``: True if the task takes the operation. A task that does not cannot see missing data, so
        it is not called.
        """
        return self.row.executes_target and (takes_operation or not self.is_missing_data)

    @property
    def reported_as(self) -> str | None:
        """Name of the fault for its callers, who cannot know if their call was executed."""
        return None if self.fault is None else self.row.reported_as

    @property
    def is_missing_data(self) -> bool:
        return self.outcome == MISSING

    def effect(self, draws: Callable[[], Random], *, timeout: float = 0.0) -> CallEffect:
        """Return the effect on one call.

        ``draws`` returns the random generator for parameters that are ranges. ``timeout`` is the time that a
        caller waits for a lost answer, in seconds.
        """
        effect = self.row.effect(FaultyCall(self.parameters, draws, timeout))
        if effect.error is not None:
            self._label(effect.error)
        return effect

    def _label(self, error: InjectedFault) -> None:
        """Add the fault's name and the broker's codes to the error."""
        error.kind = str(self.reported_as)
        error.status, error.code = self.parameters.get("status"), self.parameters.get("code")
        codes = [f"HTTP {error.status}" if error.status else "", f"code {error.code}" if error.code else ""]
        if any(codes):
            error.args = (f"{error.args[0]} ({', '.join(filter(None, codes))})",)


class FaultMix:
    """Variants of one scenario, by number.

    ``listed``: the faults of an explicit list of operations. ``network_fails``: True if the network loses
    messages.
    """

    def __init__(
        self,
        missing_data_prob: float,
        failure_prob: float,
        failure_mode: str,
        missing_data: FrozenDict | None,
        faults: str | FrozenDict | None,
        listed: Sequence[str] = (),
        *,
        network_fails: bool = False,
    ) -> None:
        weighted_data = drawn_data_faults(missing_data)
        weighted_calls = drawn_call_faults(faults) or _of_mode(failure_mode, faults)
        data = _drawn(weighted_data, missing_data_prob)
        calls = _drawn(weighted_calls, failure_prob)
        drawn = {planned.fault for planned in (*data, *calls)}
        for name in dict.fromkeys((MISSING_DATA, LOST_REQUEST, LOST_REPLY, *listed)):
            if name in drawn:
                continue
            row = ROWS[name]
            undrawn = PlannedFault(name, 0.0, FrozenDict(row.complete({})))
            (data if isinstance(row, DataFault) else calls).append(undrawn)
        self.data_faults = tuple(data)
        self.call_faults = tuple(calls)
        self.variants: tuple[PlannedFault, ...] = (
            PlannedFault(None),
            *data,
            *calls,
            PlannedFault(None, switched_off=True),
        )
        draws_faults = any(variant.probability for variant in self.variants)
        self.plans_faults = bool(draws_faults or planned_states(faults) or listed or network_fails)
        """True if the scenario has any planned faults."""
        self.count = len(self.variants)
        self.faults_disabled = self.count - 1
        self.first_call_fault = 1 + len(data)

    def drawn_call_fault(self, draw: float) -> PlannedFault | None:
        """Return the fault of calls for a draw from 0 to 1; None if the draw lies beyond all probabilities."""
        for planned in self.call_faults:
            if draw < planned.probability:
                return planned
            draw -= planned.probability
        return None

    @cached_property
    def number_of(self) -> dict[str | None, int]:
        """Number of each fault's variant, by the fault's name."""
        numbers: dict[str | None, int] = {}
        for number, variant in enumerate(self.variants):
            numbers.setdefault(variant.fault, number)
        return numbers


def _of_mode(failure_mode: str, faults: str | FrozenDict | None) -> tuple[WeightedFault, ...]:
    """Return the faults of ``failure_mode``, for a scenario without ``faults``."""
    if faults is not None:
        return ()
    replies = {LOST_REQUEST: 0.0, LOST_REPLY: 1.0, "mixed": 0.5}[failure_mode]
    return (
        WeightedFault(ROWS[LOST_REPLY], replies, {}),
        WeightedFault(ROWS[LOST_REQUEST], 1 - replies, {}),
    )


def _drawn(faults: Sequence[WeightedFault], probability: float) -> list[PlannedFault]:
    """Divide the probability among the faults by their weights."""
    greatest = max((fault.weight for fault in faults), default=1.0)
    total = sum(fault.weight / greatest for fault in faults)
    return [
        planned for fault in faults for planned in _planned(fault, probability * (fault.weight / greatest / total))
    ]


def _planned(drawn: WeightedFault, probability: float) -> list[PlannedFault]:
    """Return the variants of a drawn fault: one variant, or two if only a share of its calls is executed."""
    fault, parameters = drawn.fault, FrozenDict(drawn.parameters)
    parts = unexecuted_parts(fault.name)
    executed = float(parameters["executed"]) if parts else 1.0
    return [
        PlannedFault(fault.name, probability * executed, parameters),
        *(PlannedFault(part.name, probability * (1 - executed), parameters) for part in parts),
    ]
