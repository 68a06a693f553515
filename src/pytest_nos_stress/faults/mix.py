"""The table of what may be planned for an operation of one scenario: a number for each kind of plan.

The first kind is an ordinary call, the last a call while faults are switched off (outside of the fault windows,
or while a system recovers); between them stand the kinds of missing data and the faults of calls. The plan, the
agents and the statistics agree on this table, and so an operation's plan is one small number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.outcome import FAILED, MISSING, SUCCESS, Outcome

from . import catalogue

MISSING_DATA: Final = "missing_data"
"""The seed's fault, as plans and operations name it: ``unavailable`` among the kinds of missing data."""
LOST_REQUEST: Final = "lost_request"
LOST_REPLY: Final = "lost_reply"
UNKNOWN_STATE: Final = "unknown_state"
UNKNOWN_AND_LOST: Final = "unknown_state_lost"
"""The half of ``unknown_state`` that is not executed. Who calls cannot tell one from the other."""
CALL: Final = 0

FAULTS: Final = (
    MISSING_DATA,
    *(name for name in catalogue.MISSING_DATA if name != "unavailable"),
    *catalogue.CALL_FAULTS,
    UNKNOWN_AND_LOST,
)
"""Every fault that an operation may have planned."""
MOST_VARIANTS: Final = len(FAULTS) + 2
"""Each fault, an ordinary call and one with faults switched off."""

_NOT_CALLED: Final = (LOST_REQUEST, "overload", "reject", "clock")
_SUCCESSFUL: Final = ("late_status", "duplicate_ack")


class PlannedFault(NamedTuple):
    """One kind of plan.

    ``outcome`` is that of an operation which goes as planned, ``calls`` whether the target is called (with
    missing data it is, if its task takes the operation), ``probability`` that of its draw: of missing data, or
    of a call's fault where there is no missing data.
    """

    fault: str | None
    outcome: Outcome
    calls: bool
    probability: float = 0.0
    parameters: Mapping[str, Any] = FrozenDict({})
    switched_off: bool = False

    @property
    def shown(self) -> str | None:
        """The fault as who calls can know it."""
        return UNKNOWN_STATE if self.fault == UNKNOWN_AND_LOST else self.fault

    @property
    def is_missing_data(self) -> bool:
        return self.outcome == MISSING


class FaultMix:
    """The kinds of one scenario, by number."""

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
        drawn = catalogue.missing_data(missing_data)
        data = [_missing(one, missing_data_prob * share) for one, share in _shares(drawn)]
        drawn = catalogue.call_faults(faults) or _of_mode(failure_mode, faults)
        calls = [kind for one, share in _shares(drawn) for kind in _call(one, failure_prob * share)]
        known = {kind.fault for kind in (*data, *calls)}
        for name in dict.fromkeys((MISSING_DATA, LOST_REQUEST, LOST_REPLY, *listed)):
            if name in known:
                continue
            if name == MISSING_DATA or name in catalogue.MISSING_DATA:
                data.append(_missing(_undrawn(name), 0.0))
            else:
                calls += [one for one in _call(_undrawn(name), 0.0) if one.fault == name]
        self.data_faults = tuple(data)
        self.call_faults = tuple(calls)
        self.variants: tuple[PlannedFault, ...] = (
            PlannedFault(None, SUCCESS, True),
            *data,
            *calls,
            PlannedFault(None, SUCCESS, True, switched_off=True),
        )
        drawn_faults = any(kind.probability for kind in self.variants)
        self.plans_faults = bool(drawn_faults or catalogue.stateful_faults(faults) or listed or network_fails)
        """Whether anything is planned to go wrong."""
        self.count = len(self.variants)
        self.faults_disabled = self.count - 1
        self.first_call_fault = 1 + len(data)

    def drawn_call_fault(self, draw: float) -> PlannedFault | None:
        """The fault of a call that a draw from 0 to 1 means; None where it lies beyond all of them."""
        for kind in self.call_faults:
            if draw < kind.probability:
                return kind
            draw -= kind.probability
        return None

    @cached_property
    def number_of(self) -> dict[str | None, int]:
        """The number of each fault."""
        numbers: dict[str | None, int] = {}
        for number, kind in enumerate(self.variants):
            numbers.setdefault(kind.fault, number)
        return numbers


def _shares(drawn: tuple[catalogue.Weighted, ...]) -> list[tuple[catalogue.Weighted, float]]:
    greatest = max((one.weight for one in drawn), default=1.0)
    total = sum(one.weight / greatest for one in drawn)
    return [(one, one.weight / greatest / total) for one in drawn]


def _of_mode(failure_mode: str, faults: str | FrozenDict | None) -> tuple[catalogue.Weighted, ...]:
    """Without faults of the scenario's own, those of the seed's one knob."""
    if faults is not None:
        return ()
    replies = {LOST_REQUEST: 0.0, LOST_REPLY: 1.0, "mixed": 0.5}[failure_mode]
    return (
        catalogue.Weighted(LOST_REPLY, replies, {}),
        catalogue.Weighted(LOST_REQUEST, 1 - replies, {}),
    )


def _undrawn(name: str) -> catalogue.Weighted:
    known = {**catalogue.MISSING_DATA, **catalogue.CALL_FAULTS, MISSING_DATA: {}}
    shown = UNKNOWN_STATE if name == UNKNOWN_AND_LOST else name
    return catalogue.Weighted(shown, 0.0, known[shown])


def _missing(one: catalogue.Weighted, probability: float) -> PlannedFault:
    name = MISSING_DATA if one.name == "unavailable" else one.name
    return PlannedFault(name, MISSING, True, probability, FrozenDict(one.parameters))


def _call(one: catalogue.Weighted, probability: float) -> list[PlannedFault]:
    outcome = SUCCESS if one.name in _SUCCESSFUL else FAILED
    given = FrozenDict(one.parameters)
    if one.name != UNKNOWN_STATE:
        return [PlannedFault(one.name, outcome, one.name not in _NOT_CALLED, probability, given)]
    executed = float(one.parameters["executed"])
    return [
        PlannedFault(UNKNOWN_STATE, FAILED, True, probability * executed, given),
        PlannedFault(UNKNOWN_AND_LOST, FAILED, False, probability * (1 - executed), given),
    ]
