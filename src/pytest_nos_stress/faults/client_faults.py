"""Faults of the calls of flaky clients, while a run is in progress.

The fault of a call is a function of the seed, the client, the operation, and the number of the call in that
operation. Calls outside of any operation, such as those of the target's own threads, are numbered in the order in
which they are made. Calls before and after the run, in its checks and outside of the fault windows meet no faults.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from pytest_nos_stress._internal import loops
from pytest_nos_stress._internal.instrument import Lock, sleep
from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.errors import SettingError

from .call_faults import ORDINARY, CallEffect
from .call_steps import follow, run_steps, run_steps_async
from .context import CURRENT_OPERATION, FaultContext
from .errors import InjectedFault, NetworkFault
from .mix import CALL, PlannedFault
from .rate_limits import RateLimits
from .suspension import are_suspended

_NOT_METHODS: Final = ("__call__", "__iter__", "__next__", "__aiter__", "__anext__")
_running: Final[list[FaultContext]] = []


class ClientInterceptor:
    """Applies faults to the calls of one client.

    ``number`` distinguishes the clients of a test. ``methods``: names of the methods that meet faults; None: all
    public methods.
    """

    def __init__(self, number: int, methods: frozenset[str] | None) -> None:
        self._run: FaultContext | None = None
        self._number = number
        self._methods = methods
        self._lock = Lock()
        self._outside = itertools.count()
        self._late: list[tuple[float, Callable[[], Any]]] = []
        self._limits: RateLimits | None = None
        self.is_used = False
        """True if a call was made in the current run, or the last one."""
        self.first_faults: dict[tuple[str, int], str] = {}
        """Faults of the first call of each operation in the current run, or the last one, by agent and index."""
        self.fault_counts: Counter[str] = Counter()
        """Number of calls that met each fault in the current run, or the last one, by the fault's name."""

    def connect(self, run: FaultContext, limits: RateLimits | None) -> None:
        """Begin a run. Raises ``SettingError`` if another run uses the client."""
        with self._lock:
            if self._run is not None:
                raise SettingError(
                    "flaky client is already used by another run; wrap the client once per run, with flaky(client)"
                )
            self._run, self._limits = run, limits
        self.fault_counts.clear()
        self.first_faults.clear()
        self.is_used = False
        self._outside = itertools.count()
        if run.awaits:
            run.on_end.append(self._settle)

    def disconnect(self) -> None:
        """End the run for this client, and execute all late requests that are still due."""
        self._run = None
        for call in self._take_late(float("inf")):
            _execute(call)

    def is_faulty(self, method: str) -> bool:
        """Return True if calls of the method meet faults."""
        if self._methods is not None:
            return method in self._methods
        return method in _NOT_METHODS or not method.startswith("_")

    def call(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain method in this thread, and return its answer. Returns a coroutine if the method does."""
        call = functools.partial(method, *args, **kwargs)
        run = self._run_of_call()
        if run is None:
            return call()
        for late in self._take_late(run.elapsed()):
            _execute(late)
        effect = self._effect(run, call)
        wait = sleep if run.awaits else run.sleep
        return run_steps(follow(effect), call, wait, loops.sleep)

    async def call_async(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call an async method in this coroutine, and return its answer."""
        call = functools.partial(method, *args, **kwargs)
        run = self._run_of_call()
        if run is None:
            return await call()
        for late in self._take_late(run.elapsed()):
            await _execute_async(late)
        return await run_steps_async(follow(self._effect(run, call)), call, loops.sleep)

    def delivery_count(self) -> int:
        """Return the number of deliveries of a stream's next item. Raises the fault that cuts the stream."""
        run = self._run_of_call()
        if run is None:
            return 1
        planned, random = self._draw(run)
        deliveries = planned.row.item_deliveries
        if deliveries is not None:
            self._count(str(planned.fault))
            return deliveries
        error = planned.effect(lambda: random).error
        if isinstance(error, NetworkFault):
            raise self._counted(error)
        return 1

    def _effect(self, run: FaultContext, call: Callable[[], Any]) -> CallEffect:
        """Return the planned effect of a call made now. Raises the refusal of a rate limit."""
        planned, random = self._draw(run)
        refusal = None if self._limits is None or planned.switched_off else self._limits.check(run.elapsed())
        if refusal is not None:
            raise self._counted(refusal)
        if planned.row.item_deliveries is not None:
            return ORDINARY
        effect = planned.effect(lambda: random)
        if effect.error is not None:
            self._counted(effect.error)
        elif planned.fault is not None:
            self._count(str(planned.reported_as))
        if effect.late is not None:
            with self._lock:
                self._late.append((run.elapsed() + effect.before + effect.late, call))
        return effect

    def _run_of_call(self) -> FaultContext | None:
        """Return the run whose faults a call made now meets; None if it meets none.

        Raises ``SettingError`` if a run is in progress that does not list this client.
        """
        if are_suspended():
            return None
        if self._run is None and _running:
            raise SettingError("flaky client is not registered: pass it as clients=[...] to this run")
        return self._run

    def _draw(self, run: FaultContext) -> tuple[PlannedFault, Random]:
        """Return the fault planned for a call made now, and the generator for the fault's random parameters."""
        self.is_used = True
        mix = run.fault_mix
        current = CURRENT_OPERATION.get()
        operation: tuple[Any, ...]
        if current is None:
            operation, number = (), next(self._outside)
        else:
            agent, index = current.agent, current.index
            number = current.calls.get(self, 0)
            current.calls[self] = number + 1
            operation = (agent.name, index)
        random = derived_rng("client", run.seed, self._number, *operation, number)
        if not run.faults_are_active(current):
            return mix.variants[mix.faults_disabled], random
        if run.lists_operations:
            return (mix.variants[CALL] if number else run.listed_fault(current)), random
        planned = mix.drawn_call_fault(random.random()) or mix.variants[CALL]
        if planned.fault is not None and current is not None and not number:
            self.first_faults[agent.name, index] = planned.fault
        return planned, random

    def _counted(self, error: InjectedFault) -> InjectedFault:
        error.is_counted = True
        self._count(error.kind)
        return error

    def _count(self, fault: str) -> None:
        with self._lock:
            self.fault_counts[fault] += 1

    def _take_late(self, now: float) -> list[Callable[[], Any]]:
        if not self._late:
            return []
        with self._lock:
            due = sorted((late for late in self._late if late[0] <= now), key=operator.itemgetter(0))
            self._late = [late for late in self._late if late[0] > now]
        return [call for _, call in due]

    async def _settle(self) -> None:
        """Execute all late requests that are still due, on the event loop, at the end of the run."""
        for call in self._take_late(float("inf")):
            await _execute_async(call)


def a_run_goes_on() -> bool:
    """Return True if any run is in progress in this process."""
    return bool(_running)


@contextmanager
def connected(
    interceptors: Iterable[ClientInterceptor], run: FaultContext, limits: RateLimits | None
) -> Iterator[None]:
    """Connect the interceptors to a run in this block: calls meet the run's faults and share its rate limits."""
    joined: list[ClientInterceptor] = []
    _running.append(run)
    try:
        for interceptor in interceptors:
            interceptor.connect(run, limits)
            joined.append(interceptor)
        yield
    finally:
        _running.remove(run)
        for interceptor in joined:
            interceptor.disconnect()


def _execute(call: Callable[[], Any]) -> None:
    """Execute a request whose caller has given up. Its exceptions are ignored: nobody waits for the answer."""
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
