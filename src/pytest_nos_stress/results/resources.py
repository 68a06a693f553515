"""Samples of the process during a run: memory, processor time and lag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pytest_nos_stress.results.records import Column


class ResourceSamples(NamedTuple):
    """Samples of the process during a run, as columns with a row for each sample.

    ``seconds`` is the time since the run's start, ``memory`` the memory in bytes without that of the records,
    ``lag`` the seconds by which the recorder woke up late, ``cpu`` the number of processors used since the sample
    before. ``memory`` and ``cpu`` are empty if the system refused to measure them.
    """

    seconds: Column = np.empty(0)
    memory: Column = np.empty(0, np.int64)
    lag: Column = np.empty(0)
    cpu: Column = np.empty(0)
