"""The threads engine alone, with simple agents instead of those of a stress run."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pytest_nos_stress import SettingError, engines
from pytest_nos_stress.engines.threads import ThreadsEngine

HANG = 60.0


class Actor:
    """An agent that pauses and performs a given number of times."""

    def __init__(
        self,
        name: str,
        perform: Callable[[], object] = lambda: None,
        times: int = 3,
        pause: float = 0.0,
        enter: Callable[[], object] = lambda: None,
        leave: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.performed = 0
        self.tie_breakers: Iterator[int] = itertools.count()
        self.threads: set[int] = set()
        self._perform = perform
        self._times = times
        self._pause = pause
        self._enter = enter
        self._leave = leave

    def busy_since(self) -> int | None:
        return None

    @contextmanager
    def session(self) -> Iterator[None]:
        self.threads.add(threading.get_ident())
        self._enter()
        yield
        self.threads.add(threading.get_ident())
        self._leave()

    def operations(self) -> Iterator[float]:
        for _ in range(self._times):
            yield self._pause
            self.threads.add(threading.get_ident())
            self._perform()
            self.performed += 1


def watch_nothing() -> None:
    """Do nothing."""


def fail(error: BaseException) -> Callable[[], None]:
    def raises() -> None:
        raise error

    return raises


def test_every_agent_performs_in_its_own_thread() -> None:
    actors = [Actor(f"a{n}") for n in range(10)]
    engine = ThreadsEngine()
    engine.run(actors, watch_nothing)
    assert [actor.performed for actor in actors] == [3] * 10
    assert all(len(actor.threads) == 1 for actor in actors)
    assert engine.crashed == []
    assert engine.still_running == []


def test_agents_perform_at_the_same_time() -> None:
    """Each agent waits for all others in its first operation, which ends only if all agents perform at once."""
    together = threading.Barrier(8)
    actors = [Actor(f"a{n}", lambda: together.wait(HANG), times=1) for n in range(8)]
    ThreadsEngine().run(actors, watch_nothing)
    assert not together.broken


def test_no_agent_performs_before_all_have_entered_their_sessions() -> None:
    entered: list[str] = []
    seen: list[int] = []

    watches: list[None] = []
    watched_twice = threading.Event()

    def watch() -> None:
        watches.append(None)
        if len(watches) == 2:
            watched_twice.set()

    def enter(name: str) -> None:
        if name == "f":
            assert watched_twice.wait(HANG)
        entered.append(name)

    actors = [Actor(n, lambda: seen.append(len(entered)), times=1, enter=lambda n=n: enter(n)) for n in "abcdef"]  # type: ignore[misc]
    ThreadsEngine().run(actors, watch)
    assert seen == [6] * 6


@pytest.mark.parametrize("error", [ValueError("lost"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("where", ["enter", "perform", "leave"])
def test_an_exception_that_leaves_an_agent_is_recorded_whatever_its_type(error: BaseException, where: str) -> None:
    engine = ThreadsEngine()
    other = Actor("other")
    if where == "enter":
        broken = Actor("broken", enter=fail(error))
    elif where == "perform":
        broken = Actor("broken", fail(error))
    else:
        broken = Actor("broken", leave=fail(error))
    engine.run([broken, other], watch_nothing)
    assert [(crash.agent, crash.error) for crash in engine.crashed] == [("broken", error)]
    assert engine.still_running == []


def test_no_agent_performs_if_one_cannot_enter_its_session() -> None:
    engine = ThreadsEngine()
    others = [Actor(f"a{n}") for n in range(5)]
    engine.run([*others, Actor("broken", enter=fail(ValueError()))], watch_nothing)
    assert [actor.performed for actor in others] == [0] * 5


def test_stop_ends_pauses_and_sleeps_and_starts_no_operation() -> None:
    engine = ThreadsEngine()
    actors = [Actor(f"a{n}", pause=600) for n in range(3)]
    actors.append(Actor("sleeper", lambda: engine.clock.sleep(600), times=5))
    timer = threading.Timer(0.2, engine.stop)
    timer.start()
    started = time.monotonic()
    engine.run(actors, watch_nothing)
    timer.join()
    assert time.monotonic() - started < HANG
    assert [actor.performed for actor in actors] == [0, 0, 0, 1]
    assert engine.still_running == []


def test_stop_can_be_called_any_number_of_times_even_before_the_start() -> None:
    engine = ThreadsEngine()
    engine.stop()
    engine.stop()
    actor = Actor("a")
    engine.run([actor], watch_nothing)
    engine.stop()
    assert actor.performed == 0


def test_an_agent_can_stop_the_run_from_within() -> None:
    engine = ThreadsEngine()
    other = Actor("other", pause=600)
    engine.run([Actor("stopper", engine.stop), other], watch_nothing)
    assert other.performed == 0


@pytest.mark.parametrize("error", [RuntimeError("seen"), KeyboardInterrupt()])
def test_an_exception_of_the_watch_stops_the_run_and_is_raised(error: BaseException) -> None:
    actors = [Actor(f"a{n}", pause=600) for n in range(3)]
    with pytest.raises(type(error)) as caught:
        ThreadsEngine().run(actors, fail(error))
    assert caught.value is error
    assert not any(thread.name.startswith("agent a") for thread in threading.enumerate())


def test_the_watch_is_called_while_agents_perform() -> None:
    seen = threading.Event()
    actor = Actor("a", lambda: seen.wait(HANG), times=1)
    ThreadsEngine().run([actor], seen.set)
    assert seen.is_set()
    assert actor.performed == 1


@pytest.mark.usefixtures("short_grace")
def test_an_agent_that_does_not_end_is_reported_with_its_stack_and_its_thread_is_a_daemon() -> None:
    release = threading.Event()

    def does_not_end() -> None:
        release.wait(HANG)

    engine = ThreadsEngine()
    started = time.monotonic()
    engine.run([Actor("stuck", does_not_end), Actor("free")], engine.stop)
    took = time.monotonic() - started
    stuck = [thread for thread in threading.enumerate() if thread.name == "agent stuck"]
    assert [thread.daemon for thread in stuck] == [True]
    release.set()
    stuck[0].join(HANG)
    assert [stuck.agent for stuck in engine.still_running] == ["stuck"]
    assert "in does_not_end" in engine.still_running[0].stack
    assert took < HANG


def test_the_clock_never_goes_back_and_is_anchored_to_the_wall_clock() -> None:
    clock = ThreadsEngine().clock
    times = [clock.now_ns() for _ in range(1_000)]
    assert times == sorted(times)
    assert abs(clock.now_ns() + clock.wall_offset_ns - time.time_ns()) < HANG * 1e9


def test_the_clock_starts_when_agents_begin_to_perform() -> None:
    engine = ThreadsEngine()
    first: list[int] = []
    actor = Actor("a", lambda: first.append(engine.clock.now_ns()), enter=lambda: time.sleep(0.05))
    engine.run([actor], watch_nothing)
    assert engine.clock.started_ns <= first[0]
    assert first[0] - engine.clock.started_ns < HANG * 1e9


def test_512_agents_run_at_once() -> None:
    actors = [Actor(f"a{n}", times=2) for n in range(512)]
    engine = ThreadsEngine()
    engine.run(actors, watch_nothing)
    assert sum(actor.performed for actor in actors) == 1024


def test_the_error_of_an_engine_that_does_not_exist_yet_names_the_allowed_ones() -> None:
    with pytest.raises(SettingError) as caught:
        engines.engine_class("explore")
    assert str(caught.value) == "engine='explore': does not exist yet; allowed: 'threads', 'asyncio', 'virtual'"
