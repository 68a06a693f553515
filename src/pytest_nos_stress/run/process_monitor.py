"""Sampling of the process during a run: memory, processor time, late wake-ups, garbage collections.

The recorder takes a sample about ten times a second, because it wakes up anyway. Garbage collections are counted
as they happen. Agents do nothing for it.

Guarantee: a measurement that the system refuses does not end a run. It is not attempted again, its figures are
missing, and a note names it.

Memory is the resident set of the process (from psutil) without the columns that records are kept in: those belong
to this package, and would look like a leak of the target.
"""

from __future__ import annotations

import contextlib
import gc
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import psutil

from pytest_nos_stress._internal.instrument import Lock, perf_counter, process_time
from pytest_nos_stress._internal.text import error_message, error_name, escape_controls, shorten
from pytest_nos_stress.engines.base import Clock
from pytest_nos_stress.results.records import Records
from pytest_nos_stress.results.resources import ResourceSamples

_MOST_SAMPLES: Final = 4096
_LONGEST_REASON: Final = 200


class Collections(NamedTuple):
    """Garbage collections during a run: how many, seconds they took, and the longest."""

    collections: int = 0
    seconds: float = 0.0
    longest: float = 0.0


MEMORY: Final = "memory"
PROCESSOR_TIME: Final = "processor time"
MACHINE: Final = "use of the machine's processors"


class _Readings:
    """Reads figures that a system may refuse. ``refused``: the reasons, by the name of the figure."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}

    def read(self, name: str, measure: Callable[[], float]) -> float:
        """Return a figure; 0 if it was refused, now or before."""
        if name in self.refused:
            return 0.0
        try:
            return float(measure())
        except Exception as error:  # psutil's, the system's, or of a mock in their place
            reason = escape_controls(f"{error_name(error)}: {error_message(error)}")
            self.refused[name] = shorten(reason, _LONGEST_REASON)
            return 0.0


class ProcessMonitor:
    """Samples the process during a run."""

    def __init__(self, clock: Clock, records: Records) -> None:
        self._clock = clock
        self._records = records
        self._process: psutil.Process | None = None
        self._readings = _Readings()
        self._columns = {name: array("d") for name in ("nanoseconds", "memory", "lag", "cpu")}
        self._cpu_before = self._real_before = self._collecting_since = 0.0
        self._began = _Usage(0.0, 0.0, 0.0, 0.0)
        self._ended = self._began
        self.collections = Collections()
        self._lock = Lock()
        self._works = False
        """True once the agents have begun."""
        self._samples_seen = 0
        self._stride = 1
        """Keep every n-th sample."""

    @contextmanager
    def observed(self) -> Iterator[Callable[[float], None]]:
        """Sample the process in the block, from the moment when the agents' work begins.

        The value is the function that takes a sample. Its argument is the lateness of the wake-up in seconds.
        """
        try:
            yield self._sample_work
        finally:
            self._stride = 1
            self._sample(0.0)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Measure the use of processors and the garbage collections in the block, in which the agents work.

        The run's own collections, before and after the agents' work, must not look like a bottleneck of theirs.
        """
        self._began = _Usage.now(self._readings)
        self._cpu_before, self._real_before = self._began.process, self._began.real
        self._sample(0.0)
        self._works = True
        gc.callbacks.append(self._note_collection)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # a test may have emptied the list
                gc.callbacks.remove(self._note_collection)
            self._ended = _Usage.now(self._readings)

    def _sample_work(self, late: float) -> None:
        if self._works:
            self._sample(late)

    @property
    def samples(self) -> ResourceSamples:
        """Return all samples so far."""
        with self._lock:
            nanoseconds, memory, lag, cpu = map(np.array, self._columns.values())
        seconds = np.maximum(0.0, (nanoseconds - self._clock.started_ns) / 1e9)
        refused = self._readings.refused
        return ResourceSamples(
            seconds,
            np.empty(0, np.int64) if MEMORY in refused else memory.astype(np.int64),
            lag,
            np.empty(0) if PROCESSOR_TIME in refused else cpu,
        )

    @property
    def notes(self) -> list[str]:
        """A line for each measurement that the system refused."""
        return [f"{name} was not measured ({reason})" for name, reason in self._readings.refused.items()]

    @property
    def cores_used(self) -> float | None:
        """Processors that the process used over the run; None if they were not measured."""
        if PROCESSOR_TIME in self._readings.refused:
            return None
        return self._share(self._ended.process - self._began.process)

    @property
    def machine_busy(self) -> float | None:
        """Share of the machine's processors that was busy during the run, with any process; from 0 to 1.

        None if it was not measured.
        """
        if MACHINE in self._readings.refused:
            return None
        total = self._ended.machine_total - self._began.machine_total
        return (self._ended.machine_busy - self._began.machine_busy) / total if total > 0 else 0.0

    @property
    def real_seconds(self) -> float:
        return self._ended.real - self._began.real

    def _share(self, seconds: float) -> float:
        return seconds / self.real_seconds if self.real_seconds > 0 else 0.0

    def _sample(self, late: float) -> None:
        cpu, real = self._readings.read(PROCESSOR_TIME, process_time), perf_counter()
        passed = real - self._real_before
        sample = {
            "nanoseconds": self._clock.now_ns(),
            "memory": self._readings.read(MEMORY, self._memory),
            "lag": late,
            "cpu": (cpu - self._cpu_before) / passed if passed > 0 else 0.0,
        }
        self._cpu_before, self._real_before = cpu, real
        self._samples_seen += 1
        with self._lock:
            if self._samples_seen % self._stride:
                self._add_to_last(sample)
                return
            for name, value in sample.items():
                self._columns[name].append(value)
            if len(self._columns["lag"]) >= _MOST_SAMPLES:
                self._halve()
                self._stride *= 2

    def _memory(self) -> float:
        if self._process is None:
            self._process = psutil.Process()
        return float(self._process.memory_info().rss - self._records.kept_bytes)

    def _add_to_last(self, sample: dict[str, float]) -> None:
        """Merge a sample that is not kept into the last one: the worst counts. The first one never changes."""
        for name, value in sample.items():
            column = self._columns[name]
            if len(column) > 1:
                column[-1] = value if name == "nanoseconds" else max(column[-1], value)

    def _halve(self) -> None:
        """Keep the worse of each two samples, so that a long run takes no more memory than a short one."""
        for name, column in self._columns.items():
            pairs = np.array(column).reshape(-1, 2)
            halved = pairs[:, 1] if name == "nanoseconds" else pairs.max(axis=1)
            if name != "nanoseconds":
                halved[1] = max(halved[1], pairs[0, 1])
            halved[0] = pairs[0, 0]
            self._columns[name] = array("d", halved)

    def _note_collection(self, phase: str, _: dict[str, Any]) -> None:
        now = perf_counter()
        if phase == "start":
            self._collecting_since = now
            return
        took = now - self._collecting_since if self._collecting_since else 0.0
        collections, seconds, longest = self.collections
        self.collections = Collections(collections + 1, seconds + took, max(longest, took))


class _Usage(NamedTuple):
    """Processor time used so far, in seconds."""

    real: float
    process: float
    machine_busy: float
    machine_total: float

    @classmethod
    def now(cls, readings: _Readings) -> _Usage:
        total = 0.0

        def busy() -> float:
            nonlocal total
            machine = psutil.cpu_times()
            total = float(sum(machine[:8]))  # guests' time, which follows, is already part of the first two
            return total - float(machine.idle) - float(getattr(machine, "iowait", 0.0))

        machine_busy = readings.read(MACHINE, busy)
        return cls(perf_counter(), readings.read(PROCESSOR_TIME, process_time), machine_busy, total)
