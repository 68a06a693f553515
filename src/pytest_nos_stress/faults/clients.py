"""Flaky clients: any dependency of the target, whose calls meet the planned faults while the target runs as
it is.

A flaky client stands in front of another object and passes everything through to it. While a run goes on,
each call of a public method meets what is planned: nothing, a fault of the scenario's ``faults`` or
``failure_prob``, or the exchange's limits. What a call meets is a function of the seed, the client, the
operation it is made in and its number in that operation; calls that the target makes in threads of its own,
in no operation, are numbered in the order in which they come. Before and after the run, in its checks, and
outside of the fault windows nothing is changed.

Methods may be plain or ``async``, give context managers (what they are entered as is flaky too) or iterators,
whose items may be lost (``lost_fill``) or come twice (``duplicate_ack``). ``isinstance`` says what it says of
the client.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from pytest_nos_stress.settings import SettingError, shown

from .calls import course_of, drive, drive_async, follow
from .errors import InjectedFault, NetworkFault
from .limits import Limits
from .table import CALL, Kind

if TYPE_CHECKING:
    from pytest_nos_stress.world import World

SUSPENDED: ContextVar[bool] = ContextVar("faults are suspended", default=False)
"""Whether calls made here meet no faults: those of checks."""

_running: Final[list[World]] = []
_OF_STREAMS: Final = ("lost_fill", "duplicate_ack")
_PASSED_THROUGH: Final = (str, bytes, int, float, complex, bool, type(None), dict, list, tuple, set, frozenset)


class FaultyWire:
    """What one client's calls meet in the runs of a test."""

    def __init__(self, number: int, methods: frozenset[str] | None) -> None:
        self.world: World | None = None
        self._number = number
        self._methods = methods
        self._calls: Counter[Any] = Counter()
        self._outside = itertools.count()
        self._late: list[tuple[float, Callable[[], Any]]] = []
        self._late_tasks: set[asyncio.Task[Any]] = set()
        self._lock = threading.Lock()
        self._limits: Limits | None = None
        self.met: Counter[str] = Counter()
        """The faults that calls have met in the last run, by name."""

    def connect(self, world: World, limits: Limits | None) -> None:
        """A run begins."""
        self.world, self._limits = world, limits
        self._calls.clear()
        self.met.clear()
        self._outside = itertools.count()

    def disconnect(self) -> None:
        """The run has ended: what is still to be executed late is executed now."""
        self.world = None
        for _, call in self._take_late(float("inf")):
            _execute(call)

    def is_faulty(self, method: str) -> bool:
        """Whether calls of the method meet faults."""
        return not method.startswith("_") if self._methods is None else method in self._methods

    def call(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make a call of a plain method in this thread."""
        call = functools.partial(method, *args, **kwargs)
        world = self._world_of_call()
        if world is None:
            return call()
        for _, late in self._take_late(world.elapsed()):
            _execute(late)
        kind, random = self._draw(world)
        self._meet_limits(world, kind)
        kind = _of_call(kind)
        course = course_of(kind, lambda: random)
        if course.late is not None:
            self._late.append((world.elapsed() + course.before + course.late, call))
        self._note(kind)
        return drive(follow(course), call, world.clock.sleep)

    async def call_async(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make a call of an async method in this coroutine."""
        call = functools.partial(method, *args, **kwargs)
        world = self._world_of_call()
        if world is None:
            return await call()
        kind, random = self._draw(world)
        self._meet_limits(world, kind)
        kind = _of_call(kind)
        course = course_of(kind, lambda: random)
        if course.late is not None:
            task = asyncio.ensure_future(_execute_later(course.before + course.late, call))
            self._late_tasks.add(task)
            task.add_done_callback(self._late_tasks.discard)
        self._note(kind)
        return await drive_async(follow(course), call, asyncio.sleep)

    def copies(self) -> int:
        """How often the next item of a stream is given: not at all, once or twice. Raises where the stream is
        cut.
        """
        world = self._world_of_call()
        if world is None:
            return 1
        kind, random = self._draw(world)
        error = None if kind.fault in _OF_STREAMS else course_of(kind, lambda: random).error
        if isinstance(error, NetworkFault):
            self._note(kind)
            raise error
        if kind.fault not in _OF_STREAMS:
            return 1
        self._note(kind)
        return 0 if kind.fault == "lost_fill" else 2

    def _world_of_call(self) -> World | None:
        """The world whose faults a call made now meets; None where it meets none."""
        if SUSPENDED.get():
            return None
        if self.world is None and _running:
            raise SettingError(
                "flaky client: belongs to no run; must be named in clients=[...] of the run that uses it"
            )
        return self.world

    def _draw(self, world: World) -> tuple[Kind, Random]:
        """What is planned for a call made now."""
        from pytest_nos_stress.world import CURRENT

        kinds = world.kinds
        current = CURRENT.get()
        if current is None:
            where, number = "", next(self._outside)
        else:
            agent, index = current
            with self._lock:
                number = self._calls[current]
                self._calls[current] += 1
            where = f"{agent.name}\0{index}"
        key = f"client\0{world.scenario.seed}\0{self._number}\0{where}\0{number}"
        random = Random(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        if not world.faults_take_place(current):
            return kinds.all[kinds.off], random
        if world.scenario.planned is not None:
            return (kinds.all[CALL] if number else world.listed_kind(current)), random
        return kinds.drawn_call(random.random()) or kinds.all[CALL], random

    def _meet_limits(self, world: World, kind: Kind) -> None:
        refusal = None if self._limits is None or kind.switched_off else self._limits.refusal(world.elapsed())
        if refusal is not None:
            self.met[refusal.kind] += 1
            raise refusal

    def _note(self, kind: Kind) -> None:
        if kind.fault is not None:
            self.met[kind.fault] += 1

    def _take_late(self, now: float) -> list[tuple[float, Callable[[], Any]]]:
        if not self._late:
            return []
        with self._lock:
            due = [one for one in self._late if one[0] <= now]
            self._late = [one for one in self._late if one[0] > now]
        return sorted(due, key=lambda one: one[0])


class FlakyClient:
    """Stands in front of a client. Made by ``flaky``; its attributes are those of the client."""

    def __init__(self, client: Any, wire: FaultyWire) -> None:
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_wire", wire)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return type(object.__getattribute__(self, "_client"))

    def __getattr__(self, name: str) -> Any:
        client = object.__getattribute__(self, "_client")
        value = getattr(client, name)
        wire = object.__getattribute__(self, "_wire")
        if not callable(value) or not wire.is_faulty(name) or isinstance(value, type):
            return value
        return _method(value, wire)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_client"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(object.__getattribute__(self, "_client"), name)

    def __repr__(self) -> str:
        return f"<flaky {object.__getattribute__(self, '_client')!r}>"


def wire_of(client: Any) -> FaultyWire:
    """The wire of a flaky client."""
    return cast(FaultyWire, object.__getattribute__(client, "_wire"))


def flaky(client: Any, methods: Iterable[str] | None = None, *, number: int = 1) -> Any:
    """The client, with calls that meet the planned faults.

    ``methods``: the names of those that do (default: all public ones); ``number`` tells the clients of a test
    apart. Raises ``SettingError`` for a method that the client does not have or that cannot be called.
    """
    names = None if methods is None else _checked(client, methods)
    return _in_front_of(client, FaultyWire(number, names))


@contextmanager
def in_world(clients: Sequence[Any], world: World) -> Iterator[None]:
    """In the block, calls of these clients meet what is planned in the world."""
    from . import catalogue

    states = catalogue.states(world.scenario.faults)
    limits = Limits(states) if states else None
    wires = [wire_of(client) for client in clients]
    for wire in wires:
        wire.connect(world, limits)
    _running.append(world)
    try:
        yield
    finally:
        _running.remove(world)
        for wire in wires:
            wire.disconnect()


@contextmanager
def suspended() -> Iterator[None]:
    """In the block, calls meet no faults."""
    token = SUSPENDED.set(True)
    try:
        yield
    finally:
        SUSPENDED.reset(token)


def _checked(client: Any, methods: Iterable[str]) -> frozenset[str]:
    names = [methods] if isinstance(methods, str) else list(methods)
    for name in names:
        value = getattr(client, name, None) if isinstance(name, str) else None
        if value is None:
            able = [one for one in dir(client) if not one.startswith("_") and callable(getattr(client, one, None))]
            raise SettingError(
                f"flaky: methods={shown(names)}: {type(client).__name__} has no method {shown(name)}; "
                f"there are {', '.join(able[:10]) or 'none'}"
            )
        if not callable(value):
            raise SettingError(
                f"flaky: methods={shown(names)}: {name!r} of {type(client).__name__} is {shown(value)}, "
                "which cannot be called"
            )
    return frozenset(names)


def _in_front_of(client: Any, wire: FaultyWire) -> Any:
    """A flaky client with those special methods that the client's type has: the language looks there for
    them.
    """
    special = {name: made for name, made in _SPECIAL.items() if hasattr(type(client), name)}
    return type("FlakyClient", (FlakyClient,), special)(client, wire)


def _method(method: Callable[..., Any], wire: FaultyWire) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def flaky_coroutine(*args: Any, **kwargs: Any) -> Any:
            return _flaky_answer(await wire.call_async(method, *args, **kwargs), wire)

        return flaky_coroutine
    if inspect.isasyncgenfunction(method):

        @functools.wraps(method)
        def flaky_stream(*args: Any, **kwargs: Any) -> Any:
            return _items_async(method(*args, **kwargs), wire)

        return flaky_stream

    @functools.wraps(method)
    def flaky_method(*args: Any, **kwargs: Any) -> Any:
        return _flaky_answer(wire.call(method, *args, **kwargs), wire)

    return flaky_method


def _flaky_answer(answer: Any, wire: FaultyWire) -> Any:
    """An answer with calls or items of its own: a stream, or a context manager."""
    if isinstance(answer, _PASSED_THROUGH):
        return answer
    kind = type(answer)
    if hasattr(kind, "__next__"):
        return _items(answer, wire)
    if hasattr(kind, "__anext__"):
        return _items_async(answer, wire)
    if hasattr(kind, "__enter__") or hasattr(kind, "__aenter__"):
        return _in_front_of(answer, wire)
    return answer


def _items(stream: Iterator[Any], wire: FaultyWire) -> Iterator[Any]:
    for item in stream:
        yield from itertools.repeat(item, wire.copies())


async def _items_async(stream: Any, wire: FaultyWire) -> Any:
    async for item in stream:
        for _ in range(wire.copies()):
            yield item


def _entered(flaky_client: Any, value: Any) -> Any:
    """What a context manager is entered as: the flaky client itself, or another one on the same wire."""
    client = object.__getattribute__(flaky_client, "_client")
    if value is client:
        return flaky_client
    if isinstance(value, _PASSED_THROUGH):
        return value
    return _in_front_of(value, wire_of(flaky_client))


def _client_of(flaky_client: Any) -> Any:
    return object.__getattribute__(flaky_client, "_client")


async def _enter_async(self: Any) -> Any:
    return _entered(self, await _client_of(self).__aenter__())


async def _exit_async(self: Any, *error: Any) -> Any:
    return await _client_of(self).__aexit__(*error)


_SPECIAL: Final[dict[str, Any]] = {
    "__enter__": lambda self: _entered(self, _client_of(self).__enter__()),
    "__exit__": lambda self, *error: _client_of(self).__exit__(*error),
    "__aenter__": _enter_async,
    "__aexit__": _exit_async,
    "__call__": lambda self, *args, **kwargs: _method(_client_of(self), wire_of(self))(*args, **kwargs),
    "__iter__": lambda self: _items(iter(_client_of(self)), wire_of(self)),
    "__aiter__": lambda self: _items_async(_client_of(self), wire_of(self)),
    "__len__": lambda self: len(_client_of(self)),
    "__bool__": lambda self: bool(_client_of(self)),
    "__contains__": lambda self, item: item in _client_of(self),
    "__getitem__": lambda self, key: _client_of(self)[key],
    "__setitem__": lambda self, key, value: _client_of(self).__setitem__(key, value),
    "__delitem__": lambda self, key: _client_of(self).__delitem__(key),
    "__eq__": lambda self, other: _client_of(self) == other,
    "__hash__": lambda self: hash(_client_of(self)),
}


def _of_call(kind: Kind) -> Kind:
    """A fault of streams does nothing to a plain call."""
    return kind._replace(fault=None) if kind.fault in _OF_STREAMS else kind


def _execute(call: Callable[[], Any]) -> None:
    """Execute a request whose caller has given up: nobody is there to hear that it fails."""
    try:
        call()
    except Exception:
        return


async def _execute_later(seconds: float, call: Callable[[], Any]) -> None:
    await asyncio.sleep(seconds)
    try:
        await call()
    except (Exception, InjectedFault):
        return
