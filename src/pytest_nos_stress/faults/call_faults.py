"""Effects of faults on calls: the time and number of executions, and the exception that the caller gets.

The row of a fault in ``catalogue`` names one of the functions below. Each function returns the effect on one call.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple, TypeAlias

from .errors import BadClock, ExchangeNotAvailable, InjectedFault, RequestRejected, RequestTimeout
from .parameters import Parameters


class CallEffect(NamedTuple):
    """Effect on one call.

    - ``before``: seconds until the call is executed.
    - ``times``: number of executions.
    - ``after``: seconds from the execution until the caller continues.
    - ``error``: the exception that the caller gets in place of the answer; None for the answer.
    - ``late``: seconds from the exception until the call is executed late; None without a late execution.
    """

    before: float = 0.0
    times: int = 1
    after: float = 0.0
    error: InjectedFault | None = None
    late: float | None = None


class FaultyCall(NamedTuple):
    """One call that meets a fault.

    - ``parameters``: the parameters of the fault.
    - ``draws``: returns the random generator for parameters that are ranges.
    - ``timeout``: seconds that the caller waits for a lost answer.
    """

    parameters: Parameters
    draws: Callable[[], Random]
    timeout: float = 0.0

    def uniform(self, name: str) -> float:
        """Draw a number from the range of a parameter."""
        return self.draws().uniform(*self.parameters[name])


Effect: TypeAlias = Callable[[FaultyCall], CallEffect]

ORDINARY: Final = CallEffect()


def no_effect(_: FaultyCall) -> CallEffect:
    """Execute the call once, without a delay or an error."""
    return ORDINARY


def lose_request(call: FaultyCall) -> CallEffect:
    return CallEffect(call.timeout, 0, error=RequestTimeout("the request was lost"))


def lose_reply(call: FaultyCall) -> CallEffect:
    return CallEffect(after=call.timeout, error=RequestTimeout("the reply was lost"))


def execute_late(call: FaultyCall) -> CallEffect:
    error = RequestTimeout("no answer came in time")
    return CallEffect(float(call.parameters["timeout"]), 0, error=error, late=call.uniform("delay"))


def execute_in_unknown_state(call: FaultyCall) -> CallEffect:
    return CallEffect(after=call.uniform("delay"), error=_unknown_state())


def drop_in_unknown_state(call: FaultyCall) -> CallEffect:
    return CallEffect(call.uniform("delay"), 0, error=_unknown_state())


def _unknown_state() -> RequestTimeout:
    return RequestTimeout("unknown whether the request was executed")


def refuse_by_overload(_: FaultyCall) -> CallEffect:
    return CallEffect(times=0, error=ExchangeNotAvailable("the exchange is overloaded"))


def reject(_: FaultyCall) -> CallEffect:
    return CallEffect(times=0, error=RequestRejected("the request was rejected"))


def reject_by_clock(_: FaultyCall) -> CallEffect:
    return CallEffect(times=0, error=BadClock("the request's timestamp is outside of what is accepted"))


def reject_but_fill(_: FaultyCall) -> CallEffect:
    return CallEffect(error=RequestRejected("the request was rejected"))


def delay_answer(call: FaultyCall) -> CallEffect:
    return CallEffect(after=call.uniform("delay"))


def execute_twice(_: FaultyCall) -> CallEffect:
    return CallEffect(times=2)
