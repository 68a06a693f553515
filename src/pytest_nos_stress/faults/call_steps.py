"""Steps of a call with a fault: wait, call, wait again, raise.

A thread, a coroutine and virtual time follow the same steps, so the effect of a fault is described in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, NamedTuple

from .call_faults import CallEffect

Steps = Generator[float | None, Any, Any]
"""Steps of a call. Each yielded value is a time to wait, in seconds, or None for the call itself.

The caller sends the answer of the call back, or throws its exception in. The generator returns the final answer.
"""


SHORTEST_WAIT: Final = 1e-6
"""Shortest wait in seconds. The overhead of a shorter wait is longer than the wait."""


def follow(effect: CallEffect) -> Steps:
    """Return the steps of a call with this effect, without a late execution."""
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
    """Make a call by its steps, in this thread, and return its answer. Raises the exception of the steps.

    ``sleep_async`` must be given if the call can return a coroutine. In that case the function returns a
    coroutine, too, which follows the remaining steps when it is awaited.
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
        except StopIteration:  # cannot be thrown into a generator
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
    """Make a call by its steps, in this coroutine, and await its answer.

    ``begun``: the awaitable of the first call, if the call has been made already.
    """
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
    """Return True if a call's answer is an awaitable that executes the call when it is awaited."""
    return inspect.isawaitable(answer) and not hasattr(type(answer), "__aenter__")


class _Answer(NamedTuple):
    """Answer of a call, as its last step returns it."""

    value: Any


def _advance(step: Callable[[Any], float | None], argument: Any) -> float | _Answer | None:
    try:
        return step(argument)
    except StopIteration as end:
        return _Answer(end.value)
