"""Toxics of Toxiproxy: their parameters, and their effects on one stream of one connection.

Guarantees: names, units and meanings are those of Toxiproxy (https://github.com/Shopify/toxiproxy). Every random
choice comes from the stage's generator (``Stage.random``). An unknown kind or parameter is a ``SettingError`` of
one line that lists the allowed names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError

from .pipeline import CLOSE, EOF, Delayed, Flow, Item, Stage, slices

STREAMS: Final = ("upstream", "downstream")

_MS: Final = 1e-3
_US: Final = 1e-6
_BYTES_PER_KB: Final = 1000
_LARGEST: Final = 1 << 53


class Latency(Delayed):
    """Delays every piece of data by ``latency`` ms, plus or minus up to ``jitter`` ms."""

    def __init__(self, flow: Flow, latency: float, jitter: float) -> None:
        super().__init__(flow)
        self._latency, self._jitter = latency * _MS, jitter * _MS

    def feed(self, item: Item) -> None:
        is_delayed = isinstance(item, bytes) and item != EOF and self.flow.is_active()
        self.hold(item, self.flow.loop.time() + self._delay() if is_delayed else 0.0)

    def _delay(self) -> float:
        return max(0.0, self._latency + self._jitter * (2 * self.random.random() - 1))


class Bandwidth(Delayed):
    """Limits the throughput to ``rate`` KB per second. A KB is 1000 bytes, as in Toxiproxy."""

    def __init__(self, flow: Flow, rate: float) -> None:
        super().__init__(flow)
        self._rate = rate * _BYTES_PER_KB
        self._free_at = 0.0

    def feed(self, item: Item) -> None:
        if not isinstance(item, bytes) or item == EOF or not self.flow.is_active():
            self.hold(item, 0.0)
            return
        self._free_at = max(self._free_at, self.flow.loop.time())
        for piece in slices(item, self._rate):
            self._free_at += len(piece) / self._rate
            self.hold(piece, self._free_at)


class SlowClose(Delayed):
    """Delays the end of a stream by ``delay`` ms."""

    def __init__(self, flow: Flow, delay: float) -> None:
        super().__init__(flow)
        self._delay = delay * _MS

    def feed(self, item: Item) -> None:
        is_end = not isinstance(item, bytes) or item == EOF
        self.hold(item, self.flow.loop.time() + self._delay if is_end and self.flow.is_active() else 0.0)


class Timeout(Stage):
    """Drops all data, and closes the connection after ``timeout`` ms; 0 never closes it.

    As in Toxiproxy, removing the toxic closes the connection, because a part of its data is missing.
    """

    def __init__(self, flow: Flow, timeout: float) -> None:
        super().__init__(flow)
        self._timeout = timeout * _MS
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self._timeout:
            self._timer = self.flow.loop.call_later(self._timeout, self._is_over)

    def feed(self, item: Item) -> None:
        if isinstance(item, bytes) and item != EOF and self.flow.is_active():
            self.drop(item)
        else:
            self.pass_on(item)

    def remove(self) -> None:
        self.end()
        self.pass_on(CLOSE)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _is_over(self) -> None:
        if self.flow.is_active():
            self.pass_on(CLOSE)
        else:
            self.begin()


class ResetPeer(Stage):
    """Drops all data, and resets both ends (TCP RST) ``timeout`` ms after the first data."""

    def __init__(self, flow: Flow, timeout: float) -> None:
        super().__init__(flow)
        self._timeout = timeout * _MS
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, item: Item) -> None:
        if self._timer is None and not self.flow.is_active():
            self.pass_on(item)
            return
        self.drop(item)
        if self._timer is None:
            self._timer = self.flow.loop.call_later(self._timeout, self.flow.reset)

    def remove(self) -> None:
        if self._timer is not None:
            self.flow.reset()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Slicer(Delayed):
    """Divides data into pieces of ``average_size`` bytes, plus or minus ``size_variation``, ``delay`` us apart."""

    def __init__(self, flow: Flow, average_size: int, size_variation: int, delay: float) -> None:
        super().__init__(flow)
        self._average, self._variation = average_size, size_variation
        self._delay = delay * _US
        self._free_at = 0.0

    def feed(self, item: Item) -> None:
        if not isinstance(item, bytes) or item == EOF or not self.flow.is_active():
            self.hold(item, 0.0)
            return
        self._free_at = max(self._free_at, self.flow.loop.time())
        for piece in self._pieces(item):
            self.hold(piece, self._free_at)
            self._free_at += self._delay

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            size = self._average - self._variation + int(self.random.random() * (2 * self._variation + 1))
            yield data[start : start + size]
            start += size


class LimitData(Stage):
    """Closes the connection after ``bytes`` bytes have passed."""

    def __init__(self, flow: Flow, bytes: int) -> None:
        super().__init__(flow)
        self._left = bytes

    def feed(self, item: Item) -> None:
        if not isinstance(item, bytes) or item == EOF or not self.flow.is_active():
            self.pass_on(item)
            return
        passes = item[: self._left]
        self._left -= len(passes)
        self.drop(item[len(passes) :])
        if passes:
            self.pass_on(passes)
        if not self._left:
            self.pass_on(CLOSE)


class Parameter(NamedTuple):
    """Type of a parameter. ``default`` is None if the parameter is required."""

    allowed: str
    least: float
    default: float | None = None
    is_whole: bool = False


class ToxicSpec(NamedTuple):
    """A kind of toxic."""

    stage: Callable[..., Stage]
    parameters: Mapping[str, Parameter]


_AT_LEAST_0_MS: Final = Parameter("milliseconds from 0 up", 0)
_OR_0_MS: Final = Parameter("milliseconds from 0 up", 0, 0)

TOXICS: Final[Mapping[str, ToxicSpec]] = MappingProxyType(
    {
        "latency": ToxicSpec(Latency, {"latency": _AT_LEAST_0_MS, "jitter": _OR_0_MS}),
        "bandwidth": ToxicSpec(Bandwidth, {"rate": Parameter("KB per second from 0.001 up", 0.001)}),
        "slow_close": ToxicSpec(SlowClose, {"delay": _AT_LEAST_0_MS}),
        "timeout": ToxicSpec(Timeout, {"timeout": _AT_LEAST_0_MS}),
        "reset_peer": ToxicSpec(ResetPeer, {"timeout": _OR_0_MS}),
        "slicer": ToxicSpec(
            Slicer,
            {
                "average_size": Parameter("a whole number of bytes from 1 up", 1, None, True),
                "size_variation": Parameter("a whole number of bytes below average_size", 0, 0, True),
                "delay": Parameter("microseconds from 0 up", 0, 0),
            },
        ),
        "limit_data": ToxicSpec(
            LimitData, {"bytes": Parameter("a whole number of bytes from 0 up", 0, None, True)}
        ),
    }
)


def check_stream(stream: Any) -> None:
    """Raise ``SettingError`` for an unknown stream."""
    if stream not in STREAMS:
        raise SettingError(f"stream={safe_repr(stream)}: must be {' or '.join(STREAMS)}")


def check_toxicity(toxicity: Any) -> float:
    """Return the probability as a float. Raises ``SettingError`` if it is not from 0 to 1."""
    if isinstance(toxicity, (bool, str)) or not _is_number(toxicity) or not 0 <= toxicity <= 1:
        raise SettingError(f"toxicity={safe_repr(toxicity)}: must be a number from 0 to 1")
    return float(toxicity)


def checked(kind: Any, parameters: Mapping[str, Any]) -> Mapping[str, float]:
    """Return all parameters of a toxic of that kind, with defaults. Raises ``SettingError``."""
    if kind not in TOXICS:
        raise SettingError(f"toxic={safe_repr(kind)}: no such toxic; allowed: {', '.join(TOXICS)}, or call down()")
    known = TOXICS[kind].parameters
    unknown = next((name for name in parameters if name not in known), None)
    if unknown is not None:
        raise SettingError(f"toxic {kind}: {unknown}: no such parameter; allowed: {', '.join(known)}")
    values = {name: _value(kind, name, parameter, parameters) for name, parameter in known.items()}
    if kind == "slicer" and values["size_variation"] >= values["average_size"]:
        raise _refused(kind, "size_variation", values["size_variation"], known["size_variation"])
    return MappingProxyType(values)


def _value(kind: str, name: str, parameter: Parameter, values: Mapping[str, Any]) -> float:
    if name not in values and parameter.default is None:
        raise SettingError(f"toxic {kind}: {name} is missing; must be {parameter.allowed}")
    value: Any = values.get(name, parameter.default)
    if not _is_number(value) or not parameter.least <= value <= _LARGEST:
        raise _refused(kind, name, value, parameter)
    if parameter.is_whole and value != int(value):
        raise _refused(kind, name, value, parameter)
    return int(value) if parameter.is_whole else float(value)


def _is_number(value: Any) -> bool:
    return not isinstance(value, (bool, str, bytes)) and hasattr(value, "__float__")


def _refused(kind: str, name: str, value: Any, parameter: Parameter) -> SettingError:
    return SettingError(f"toxic {kind}: {name}={safe_repr(value)}: must be {parameter.allowed}")
