"""Random numbers for prices. Each number is computed from its key alone, without drawing others first.

Guarantees: a number depends only on seed, symbol, purpose and index. Symbols share a common factor, whose numbers
have separate keys, so adding a symbol does not change the others. Any number of threads may draw.

Sources: counter-based random numbers (Salmon et al. 2011), as in ``pytest_nos_stress.scenario.schedule``. Normal
numbers by Box and Muller (1958), from NumPy's raw stream, which never changes between versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.seeding import stream_key

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_NOT_A_SYMBOL: Final = ""
_VALUES: Final = float(1 << 53)
_COUNTER_BITS_OF_INDEX: Final = 64


class BoundedCache(Generic[Key, Value]):
    """A cache of the latest ``max_size`` values. It takes no lock, so two threads may compute the same value."""

    __slots__ = ("_max_size", "values")

    def __init__(self, max_size: int) -> None:
        self.values: dict[Key, Value] = {}
        self._max_size = max_size

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        value = self.values.get(key)
        return self._store(key, make(key)) if value is None else value

    def _store(self, key: Key, value: Value) -> Value:
        self.values[key] = value
        if len(self.values) > self._max_size:
            for old in list(self.values)[: -self._max_size]:
                self.values.pop(old, None)
        return value


def uniforms(key: int, index: int, count: int) -> Floats:
    """Draw ``count`` uniform numbers in [0, 1) from the stream ``index`` of a key."""
    generator = np.random.Philox(key=key, counter=index << _COUNTER_BITS_OF_INDEX)
    return (generator.random_raw(count) >> np.uint64(11)) / np.float64(_VALUES)


def normals(key: int, index: int, shape: tuple[int, ...]) -> Floats:
    """Draw standard normal numbers from the stream ``index`` of a key."""
    count = math.prod(shape)
    half = (count + 1) // 2
    radius, angle = uniforms(key, index, 2 * half).reshape(2, half)
    radius = np.sqrt(-2.0 * np.log1p(-radius))
    angle = math.tau * angle
    return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count].reshape(shape)


class CommonFactor:
    """The random numbers that all symbols of a market share."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._recent: BoundedCache[tuple[str, int, tuple[int, ...]], Floats] = BoundedCache(16)

    def normals(self, purpose: str, index: int, shape: tuple[int, ...]) -> Floats:
        return self._recent.get((purpose, index, shape), self._draw)

    def _draw(self, stream: tuple[str, int, tuple[int, ...]]) -> Floats:
        purpose, index, shape = stream
        return normals(stream_key(self.seed, _NOT_A_SYMBOL, f"market/{purpose}"), index, shape)


class SymbolDraws:
    """The random numbers of one symbol. ``loading``: their correlation with the common factor, 0 to 1."""

    def __init__(self, common: CommonFactor, symbol: str, loading: float) -> None:
        self._common = common
        self._symbol = symbol
        self._loading = loading
        self._keys: dict[str, int] = {}

    def normals(self, purpose: str, index: int, shape: tuple[int, ...]) -> Floats:
        """Draw standard normal numbers, correlated with those of other symbols for the same purpose and index."""
        common = self._common.normals(purpose, index, shape)
        own = self.independent_normals(purpose, index, shape)
        mixed: Any = self._loading * common + math.sqrt(1.0 - self._loading**2) * own
        return np.asarray(mixed, np.float64)

    def independent_normals(self, purpose: str, index: int, shape: tuple[int, ...]) -> Floats:
        """Draw standard normal numbers that do not depend on other symbols."""
        return normals(self._key(purpose), index, shape)

    def uniforms(self, purpose: str, index: int, count: int) -> Floats:
        """Draw uniform numbers in [0, 1) that do not depend on other symbols."""
        return uniforms(self._key(purpose), index, count)

    def _key(self, purpose: str) -> int:
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = stream_key(self._common.seed, self._symbol, f"market/{purpose}")
        return key
