"""What the agents of a benchmark trade on: systems that do nothing, or only use the processor."""

from __future__ import annotations

import time
from typing import Any, Final

_CALIBRATION_ROUNDS: Final = 1_000_000


class NoOp:
    """Does nothing; its tasks take no operation, as those of the seed document."""

    def buy(self) -> None:
        pass

    sell = hedge = rebalance = buy


class NoOpWithOperation:
    """Does nothing; its tasks take the operation, which the library then has to make."""

    def buy(self, operation: Any) -> None:
        pass

    sell = hedge = rebalance = buy


class Burner:
    """Counts to a number that takes about so many seconds of one processor, and never lets go of the GIL."""

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
    """``noop``, ``operation``, or milliseconds to burn, such as ``burn:0.2``."""
    if name == "noop":
        return NoOp()
    if name == "operation":
        return NoOpWithOperation()
    return Burner(float(name.removeprefix("burn:")) / 1e3)
