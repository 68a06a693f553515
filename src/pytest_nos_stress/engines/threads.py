"""The ``threads`` engine: a real thread for each agent, in real time.

Guarantees: no agent performs anything before every agent's session is entered; all are let go at once; an
exception that leaves an agent is kept for the run, whatever its type; after ``stop()`` the run ends within
two seconds, and a thread that a target still holds by then is a daemon that is named with its stack.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from pytest_nos_stress.settings import SettingError

from . import EngineAgent, LostAgent, Unfinished

_WATCH_INTERVAL: Final = 0.1
_GRACE: Final = 1.5
_LET_GO_AT_ONCE: Final = 8
_PACKAGE: Final = str(Path(__file__).parent.parent)


class RealClock:
    """The machine's monotonic clock, and sleeps that the end of a run cuts short."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self.now_ns: Callable[[], int] = time.perf_counter_ns
        self.wall_offset_ns = time.time_ns() - self.now_ns()
        self.started_ns = self.now_ns()

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)


class ThreadsEngine:
    """Runs agents on threads of their own."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._stopping = False
        self._gate_is_open = False
        self._gate = threading.Condition()
        self._all_ended = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0
        self._running = 0
        self._threads: dict[threading.Thread, EngineAgent] = {}
        self.clock = RealClock(self._stopped)
        self.lost: list[LostAgent] = []
        self.unfinished: list[Unfinished] = []

    def run(self, agents: Sequence[EngineAgent], watch: Callable[[], None]) -> None:
        self._waiting = self._running = len(agents)
        try:
            self._begin(agents)
            while not self._all_ended.wait(_WATCH_INTERVAL) and not self._stopping:
                watch()
        except BaseException:
            self.stop()
            raise
        finally:
            self._join()

    def stop(self) -> None:
        self._stopping = True
        self._stopped.set()
        self._open_gate()

    def _begin(self, agents: Sequence[EngineAgent]) -> None:
        for agent in agents:
            thread = threading.Thread(target=self._live, args=(agent,), name=f"agent {agent.name}", daemon=True)
            self._threads[thread] = agent
            try:
                thread.start()
            except RuntimeError as error:
                raise SettingError(
                    f"agents={len(agents)}: the system starts only {len(self._threads) - 1} threads ({error}); "
                    "must be fewer"
                ) from None

    def _live(self, agent: EngineAgent) -> None:
        """One agent's whole life, in its own thread."""
        arrived = False
        try:
            with agent.session():
                self._arrive()
                arrived = True
                self._pass_gate()
                self._perform(agent)
        except BaseException as error:
            self.lost.append(LostAgent(agent.name, error))
            self.stop()
        finally:
            if not arrived:
                self._arrive()
            self._leave()

    def _perform(self, agent: EngineAgent) -> None:
        if self._stopping:
            return
        wait = self._stopped.wait
        for pause in agent.operations():
            if pause:
                wait(pause)
            if self._stopping:
                return

    def _arrive(self) -> None:
        """The last agent to arrive at the start lets all of them go."""
        with self._lock:
            self._waiting -= 1
            if self._waiting:
                return
        self.clock.started_ns = self.clock.now_ns()
        self._open_gate()

    def _open_gate(self) -> None:
        with self._gate:
            self._gate_is_open = True
            self._gate.notify(_LET_GO_AT_ONCE)

    def _pass_gate(self) -> None:
        """Wait for the start. Who passes wakes the next: the processor is never flooded by all agents at once."""
        with self._gate:
            while not self._gate_is_open:
                self._gate.wait()
            self._gate.notify()

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._all_ended.set()

    def _join(self) -> None:
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            if thread.ident is None:
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
        frames = sys._current_frames()
        for thread, agent in self._threads.items():
            if thread.is_alive():
                self.unfinished.append(Unfinished(agent.name, _stack(frames.get(thread.ident or 0))))


def _stack(frame: FrameType | None) -> str:
    """Where a thread is, from the target's first frame on."""
    if frame is None:
        return "unknown\n"
    frames = traceback.extract_stack(frame)
    of_target = itertools.dropwhile(lambda one: one.filename.startswith((_PACKAGE, threading.__file__)), frames)
    return "".join(traceback.format_list(list(of_target) or frames))
