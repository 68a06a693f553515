"""Faults of calls: what the caller of a faulty call meets, and when, and whether it is executed all the same.

A fault decides the *course* of a call: how long before and after, how often it is executed (not at all, once,
twice), what the caller gets in place of the answer. Courses are followed step by step by whoever makes the
call, in a thread, in a coroutine or in virtual time, so that there is one account of what a fault does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from random import Random
from typing import Any, Final, NamedTuple

from .errors import BadClock, ExchangeNotAvailable, InjectedFault, RequestRejected, RequestTimeout
from .mix import PlannedFault

Steps = Generator[float | None, Any, Any]
"""A call step by step: each value is a time to wait in seconds, or None for the call itself, whose answer is
sent back (or its exception thrown in). The value returned is the answer.
"""


class CallEffect(NamedTuple):
    """The course of one call.

    ``before``: seconds until it is executed; ``times``: how often it is; ``after``: seconds until its caller
    goes on; ``error``: what the caller gets in place of the answer; ``late``: seconds from then on after
    which it is executed after all, None where it is not.
    """

    before: float = 0.0
    times: int = 1
    after: float = 0.0
    error: InjectedFault | None = None
    late: float | None = None


SHORTEST_WAIT: Final = 1e-6
"""Seconds; to wait for less takes longer than that."""
ORDINARY: Final = CallEffect()


def effect_of(kind: PlannedFault, draws: Callable[[], Random], *, timeout: float = 0.0) -> CallEffect:
    """The course that a fault gives a call.

    ``draws`` makes the generator that decides what the kind leaves open; ``timeout`` is how long a caller
    waits, in seconds, for an answer that is lost.
    """
    given = kind.parameters
    if kind.is_missing_data:
        return ORDINARY
    match kind.fault:
        case None:
            return ORDINARY
        case "lost_request":
            return CallEffect(timeout, 0, error=_of_kind(RequestTimeout("the request was lost"), kind))
        case "lost_reply" | "lost_fill":
            return CallEffect(after=timeout, error=_of_kind(RequestTimeout("the reply was lost"), kind))
        case "late_execution":
            error = _of_kind(RequestTimeout("no answer came in time"), kind)
            return CallEffect(float(given["timeout"]), 0, error=error, late=draws().uniform(*given["delay"]))
        case "unknown_state" | "unknown_state_lost":
            wait = draws().uniform(*given["delay"])
            error = _of_kind(RequestTimeout("unknown whether the request was executed"), kind)
            return CallEffect(times=1, after=wait, error=error) if kind.calls else CallEffect(wait, 0, error=error)
        case "overload":
            return CallEffect(times=0, error=_of_kind(ExchangeNotAvailable("the exchange is overloaded"), kind))
        case "reject":
            return CallEffect(times=0, error=_of_kind(RequestRejected("the request was rejected"), kind))
        case "clock":
            message = "the request's timestamp is outside of what is accepted"
            return CallEffect(times=0, error=_of_kind(BadClock(message), kind))
        case "reject_but_filled":
            return CallEffect(error=_of_kind(RequestRejected("the request was rejected"), kind))
        case "late_status":
            return CallEffect(after=draws().uniform(*given["delay"]))
        case "duplicate_ack":
            return CallEffect(times=2)
        case other:
            raise ValueError(f"{other!r} is no fault of a call")


def follow(course: CallEffect) -> Steps:
    """The steps of a course but for what is executed late."""
    answer = None
    if course.before:
        yield course.before
    for _ in range(course.times):
        answer = yield None
    if course.after:
        yield course.after
    if course.error is not None:
        raise course.error
    return answer


def run_steps(
    steps: Steps,
    call: Callable[[], Any],
    sleep: Callable[[float], None],
    sleep_async: Callable[[float], Any] | None = None,
) -> Any:
    """Make a call by its steps, in this thread. Returns its answer, or raises.

    ``sleep_async``: given where the call may turn out to be a coroutine; then one is returned that takes the other
    steps when it is awaited.
    """
    wait = _advance(next, steps)
    while not isinstance(wait, _Answer):
        if wait is not None:
            if wait >= SHORTEST_WAIT:
                sleep(wait)
            wait = _advance(next, steps)
            continue
        try:
            answer = call()
        except StopIteration:  # no generator lets one through
            raise
        except BaseException as error:
            wait = _advance(steps.throw, error)
            continue
        if sleep_async is not None and _only_awaited(answer):
            return run_steps_async(steps, call, sleep_async, answer)
        wait = _advance(steps.send, answer)
    return wait.value


async def run_steps_async(
    steps: Steps,
    call: Callable[[], Any],
    sleep: Callable[[float], Any],
    begun: Awaitable[Any] | None = None,
) -> Any:
    """The same for a call whose answer is awaited, in this coroutine. ``begun``: one that is made already."""
    wait = None if begun else _advance(next, steps)
    while not isinstance(wait, _Answer):
        if wait is not None:
            if wait >= SHORTEST_WAIT:
                await sleep(wait)
            wait = _advance(next, steps)
            continue
        try:
            answer, begun = begun or call(), None
            if hasattr(type(answer), "__await__"):
                answer = await answer
        except BaseException as error:
            wait = _advance(steps.throw, error)
        else:
            wait = _advance(steps.send, answer)
    return wait.value


def _only_awaited(answer: object) -> bool:
    """Whether nothing has been executed yet of a call, but will be when its answer is awaited."""
    return inspect.isawaitable(answer) and not hasattr(type(answer), "__aenter__")


class _Answer(NamedTuple):
    """What the last step gives."""

    value: Any


def _advance(step: Callable[[Any], float | None], given: Any) -> float | _Answer | None:
    try:
        return step(given)
    except StopIteration as end:
        return _Answer(end.value)


def _of_kind(error: InjectedFault, kind: PlannedFault) -> InjectedFault:
    """The error with the fault's name and the broker's codes."""
    given: Mapping[str, Any] = kind.parameters
    error.kind = str(kind.shown)
    error.status, error.code = given.get("status"), given.get("code")
    codes = [f"HTTP {error.status}" if error.status else "", f"code {error.code}" if error.code else ""]
    shown = ", ".join(filter(None, codes))
    if shown:
        error.args = (f"{error.args[0]} ({shown})",)
    return error
