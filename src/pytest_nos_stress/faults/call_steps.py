"""Calls step by step: how a call that has an effect is made, in a thread, in a coroutine or in virtual time.

Whoever makes the call follows the same steps, so that there is one account of what a fault does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, NamedTuple

from .call_faults import CallEffect

Steps = Generator[float | None, Any, Any]
"""A call step by step: each value is a time to wait in seconds, or None for the call itself, whose answer is
sent back (or its exception thrown in). The value returned is the answer.
"""


SHORTEST_WAIT: Final = 1e-6
"""Seconds; to wait for less takes longer than that."""


def follow(effect: CallEffect) -> Steps:
    """The steps of a call with this effect, except a late execution."""
    answer = None
    if effect.before:
        yield effect.before
    for _ in range(effect.times):
        answer = yield None
    if effect.after:
        yield effect.after
    if effect.error is not None:
        raise effect.error
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


def _advance(step: Callable[[Any], float | None], argument: Any) -> float | _Answer | None:
    try:
        return step(argument)
    except StopIteration as end:
        return _Answer(end.value)
