"""What was sampled of the process while a run went on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pytest_nos_stress.results.records import Column


class ResourceSamples(NamedTuple):
    """What was seen of the process during a run, a row for each look at it.

    ``seconds`` since the run's start; ``memory`` in bytes, without the records'; ``lag``: seconds that the
    recorder's wake-up was late; ``cpu``: processors used since the look before.
    """

    seconds: Column = np.empty(0)
    memory: Column = np.empty(0, np.int64)
    lag: Column = np.empty(0)
    cpu: Column = np.empty(0)
