"""Targets of the benchmarks, which do nothing or only use the processor."""

from __future__ import annotations

import time
from typing import Any, Final

_CALIBRATION_ROUNDS: Final = 1_000_000


class NoOp:
    """A target that does nothing. Its tasks take no operation, like those of the seed document."""

    def buy(self) -> None:
        pass

    sell = hedge = rebalance = buy


class NoOpWithOperation:
    """A target that does nothing. Its tasks take the operation, so the library has to make one for each call."""

    def buy(self, operation: Any) -> None:
        pass

    sell = hedge = rebalance = buy


class Burner:
    """A target whose tasks use one processor for about ``seconds``, and do not release the GIL."""

    def __init__(self, seconds: float) -> None:
        started = time.perf_counter()
        _count_to(_CALIBRATION_ROUNDS)
        self._rounds = round(seconds / (time.perf_counter() - started) * _CALIBRATION_ROUNDS)

    def buy(self) -> None:
        _count_to(self._rounds)

    sell = hedge = rebalance = buy


def _count_to(rounds: int) -> None:
    for _ in range(rounds):
        pass


def create(name: str) -> object:
    """Return the target of a name: ``noop``, ``operation``, or ``burn:0.2`` to use 0.2 ms of processor time."""
    if name == "noop":
        return NoOp()
    if name == "operation":
        return NoOpWithOperation()
    return Burner(float(name.removeprefix("burn:")) / 1e3)
