"""The interceptor of a flaky client: what its calls meet while a run goes on.

What a call meets is a function of the seed, the client, the operation it is made in and its number in that
operation; calls that the target makes in threads of its own, in no operation, are numbered in the order in which
they come. Before and after the run, in its checks, and outside of the fault windows calls are what they are.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.errors import SettingError

from .call_faults import CallEffect, effect_of, follow, run_steps, run_steps_async
from .errors import InjectedFault, NetworkFault
from .mix import CALL, PlannedFault
from .rate_limits import RateLimits
from .suspension import are_suspended

if TYPE_CHECKING:
    from pytest_nos_stress.run.context import RunContext

_OF_STREAMS: Final = ("lost_fill", "duplicate_ack")
_NOT_METHODS: Final = ("__call__", "__iter__", "__next__", "__aiter__", "__anext__")
_running: Final[list[RunContext]] = []


class ClientInterceptor:
    """What one client's calls meet. ``methods``: the names of those that meet faults; None: all public ones."""

    def __init__(self, number: int, methods: frozenset[str] | None) -> None:
        self._world: RunContext | None = None
        self._number = number
        self._methods = methods
        self._lock = threading.Lock()
        self._outside = itertools.count()
        self._late: list[tuple[float, Callable[[], Any]]] = []
        self._limits: RateLimits | None = None
        self.is_used = False
        """Whether a call was made in the last run."""
        self.first_faults: dict[tuple[str, int], str] = {}
        """What the first call of an operation met in the last run, by agent and index."""
        self.fault_counts: Counter[str] = Counter()
        """The faults that calls have met in the last run, by name."""

    def connect(self, world: RunContext, limits: RateLimits | None) -> None:
        """A run begins. Raises ``SettingError`` while another one goes on."""
        with self._lock:
            if self._world is not None:
                raise SettingError("flaky client: is used by a run that goes on; must have a wrapper for each run")
            self._world, self._limits = world, limits
        self.fault_counts.clear()
        self.first_faults.clear()
        self.is_used = False
        self._outside = itertools.count()
        if world.awaits:
            world.on_end.append(self._settle)

    def disconnect(self) -> None:
        """The run has ended: what is still to be executed late is executed now."""
        self._world = None
        for call in self._take_late(float("inf")):
            _execute(call)

    def is_faulty(self, method: str) -> bool:
        """Whether calls of the method meet faults."""
        if self._methods is not None:
            return method in self._methods
        return method in _NOT_METHODS or not method.startswith("_")

    def call(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make a call of a plain method in this thread; if it gives a coroutine, so does this."""
        call = functools.partial(method, *args, **kwargs)
        world = self._world_of_call()
        if world is None:
            return call()
        for late in self._take_late(world.elapsed()):
            _execute(late)
        course = self._course(world, call)
        sleep = time.sleep if world.awaits else world.clock.sleep
        return run_steps(follow(course), call, sleep, asyncio.sleep)

    async def call_async(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make a call of an async method in this coroutine."""
        call = functools.partial(method, *args, **kwargs)
        world = self._world_of_call()
        if world is None:
            return await call()
        for late in self._take_late(world.elapsed()):
            await _execute_async(late)
        return await run_steps_async(follow(self._course(world, call)), call, asyncio.sleep)

    def delivery_count(self) -> int:
        """How often the next item of a stream is given: not at all, once or twice. Raises where it is cut."""
        world = self._world_of_call()
        if world is None:
            return 1
        kind, random = self._draw(world)
        error = None if kind.fault in _OF_STREAMS else effect_of(kind, lambda: random).error
        if isinstance(error, NetworkFault):
            raise self._noted(error)
        if kind.fault not in _OF_STREAMS:
            return 1
        self._note(str(kind.fault))
        return 0 if kind.fault == "lost_fill" else 2

    def _course(self, world: RunContext, call: Callable[[], Any]) -> CallEffect:
        """What is planned for a call made now. Raises the refusal of a limit."""
        kind, random = self._draw(world)
        refusal = None if self._limits is None or kind.switched_off else self._limits.check(world.elapsed())
        if refusal is not None:
            raise self._noted(refusal)
        if kind.fault in _OF_STREAMS:
            return effect_of(kind._replace(fault=None), lambda: random)
        course = effect_of(kind, lambda: random)
        if course.error is not None:
            self._noted(course.error)
        elif kind.fault is not None:
            self._note(str(kind.shown))
        if course.late is not None:
            with self._lock:
                self._late.append((world.elapsed() + course.before + course.late, call))
        return course

    def _world_of_call(self) -> RunContext | None:
        """The world whose faults a call made now meets; None where it meets none."""
        if are_suspended():
            return None
        if self._world is None and _running:
            raise SettingError(
                "flaky client: belongs to no run; must be named in clients=[...] of the run that uses it"
            )
        return self._world

    def _draw(self, world: RunContext) -> tuple[PlannedFault, Random]:
        """What is planned for a call made now, and the generator for what that leaves open."""
        from .context import CURRENT_OPERATION

        self.is_used = True
        kinds = world.fault_mix
        current = CURRENT_OPERATION.get()
        where: tuple[Any, ...]
        if current is None:
            where, number = (), next(self._outside)
        else:
            agent, index = current.agent, current.index
            number = current.calls.get(self, 0)
            current.calls[self] = number + 1
            where = (agent.name, index)
        random = derived_rng("client", world.scenario.seed, self._number, *where, number)
        if not world.faults_are_active(current):
            return kinds.variants[kinds.faults_disabled], random
        if world.scenario.planned is not None:
            return (kinds.variants[CALL] if number else world.listed_fault(current)), random
        kind = kinds.drawn_call_fault(random.random()) or kinds.variants[CALL]
        if kind.fault is not None and current is not None and not number:
            self.first_faults[agent.name, index] = kind.fault
        return kind, random

    def _noted(self, error: InjectedFault) -> InjectedFault:
        error.is_counted = True
        self._note(error.kind)
        return error

    def _note(self, fault: str) -> None:
        with self._lock:
            self.fault_counts[fault] += 1

    def _take_late(self, now: float) -> list[Callable[[], Any]]:
        if not self._late:
            return []
        with self._lock:
            due = sorted((one for one in self._late if one[0] <= now), key=lambda one: one[0])
            self._late = [one for one in self._late if one[0] > now]
        return [call for _, call in due]

    async def _settle(self) -> None:
        """At the end of a run on an event loop, while the loop still goes on."""
        for call in self._take_late(float("inf")):
            await _execute_async(call)


def a_run_goes_on() -> bool:
    """Whether any run goes on in this process."""
    return bool(_running)


@contextmanager
def connected(interceptors: Iterable[ClientInterceptor], world: RunContext) -> Iterator[None]:
    """Connect the interceptors to a run: their calls meet its planned faults and share its rate limits."""
    limits = RateLimits.of(world.scenario.faults)
    joined: list[ClientInterceptor] = []
    _running.append(world)
    try:
        for interceptor in interceptors:
            interceptor.connect(world, limits)
            joined.append(interceptor)
        yield
    finally:
        _running.remove(world)
        for interceptor in joined:
            interceptor.disconnect()


def _execute(call: Callable[[], Any]) -> None:
    """Execute a request whose caller has given up: nobody is there to hear that it fails."""
    try:
        answer = call()
    except BaseException:
        return
    if inspect.iscoroutine(answer):
        answer.close()


async def _execute_async(call: Callable[[], Any]) -> None:
    try:
        answer = call()
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        return
