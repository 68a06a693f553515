"""Network: the properties of the network between agents and their target, as one value.

Guarantees: every ``Network`` is valid; networks with equal parameters are equal and have equal hashes; ``repr`` is
Python code for an equal network, and ``Network.of`` makes an equal network from the builtin types of ``to_dict``.
The same value is used for calls in process and for the real proxy.

Times are those of a whole round trip, which is divided between the request and the reply. Loss applies to each
message. The median and p99 of the profiles are published round trips (see ``PROFILES``). Loss rates and bandwidths
of the profiles are not published anywhere: they are chosen for stress tests.

Sources: tc-netem(8) for the distributions and their parameters; Gilbert 1960 and Elliott 1963 for bursts of
loss; CME 2012 and exchanges' and brokers' own figures for round trips.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import COUNT, DELAY, SPAN, OptionType, optional
from pytest_nos_stress.errors import SettingError

DISTRIBUTIONS: Final = ("lognormal", "uniform", "normal", "pareto", "paretonormal", "constant")
STRONGEST_CORRELATION: Final = 0.99

_BYTES_PER_UNIT: Final = {"B/s": 1.0, "bit/s": 0.125, "bps": 0.125}
_PREFIXES: Final = {"G": 1e9, "M": 1e6, "K": 1e3, "k": 1e3, "": 1.0}


def _number_of(text: Any) -> float:
    if isinstance(text, (bool, bytes)):
        raise ValueError(text)
    return float(text)


def _share(value: Any) -> float:
    text = value.strip() if isinstance(value, str) else value
    is_percent = isinstance(text, str) and text.endswith("%")
    share = _number_of(text[:-1]) / 100 if is_percent else _number_of(text)
    if not 0 <= share <= 1:
        raise ValueError(value)
    return share


def _correlation(value: Any) -> float:
    number = _number_of(value)
    if not 0 <= number <= STRONGEST_CORRELATION:
        raise ValueError(value)
    return number


def _burst(value: Any) -> float:
    number = _number_of(value)
    if not 1 <= number <= 1e9:
        raise ValueError(value)
    return number


def _bandwidth(value: Any) -> float:
    """Return bytes per second from a number, or from text such as ``"10Mbit/s"``. Raises ``ValueError``."""
    rate = _rate(value.strip()) if isinstance(value, str) else _number_of(value)
    if not 0 < rate <= 1e15:
        raise ValueError(value)
    return rate


def _rate(text: str) -> float:
    unit = next((unit for unit in _BYTES_PER_UNIT if text.endswith(unit)), "")
    if not unit:
        return float(text)
    number = text.removesuffix(unit).rstrip()
    prefix = number[-1:] if number[-1:] in _PREFIXES else ""
    return float(number.removesuffix(prefix)) * _PREFIXES[prefix] * _BYTES_PER_UNIT[unit]


def _distribution(value: Any) -> str:
    if value not in DISTRIBUTIONS:
        raise ValueError(value)
    return str(value)


class Partition(NamedTuple):
    """A time in which messages are lost: from ``start`` until before ``end``, in seconds after the run's start.

    ``agents``: the names of the agents that are cut off; None cuts off all agents.
    """

    start: float
    end: float
    agents: tuple[str, ...] | None = None

    def to_builtin(self) -> Any:
        if self.agents is None:
            return [self.start, self.end]
        return {"from": self.start, "to": self.end, "agents": list(self.agents)}


def _partitions(value: Any) -> tuple[Partition, ...]:
    if isinstance(value, (str, Mapping)):
        raise ValueError(value)
    return tuple(_partition(partition) for partition in value)


def _partition(value: Any) -> Partition:
    if isinstance(value, Mapping):
        if not {"from", "to"} <= set(value) <= {"from", "to", "agents"}:
            raise ValueError(value)
        value = value["from"], value["to"], value.get("agents")
    start, end, *rest = value
    agents = rest[0] if rest else None
    start, end = DELAY.convert(start), DELAY.convert(end)
    if start >= end or len(rest) > 1:
        raise ValueError(value)
    return Partition(start, end, None if agents is None else _agents(agents))


def _agents(names: Any) -> tuple[str, ...]:
    agents = tuple(names)
    if isinstance(names, str) or not agents or not all(isinstance(name, str) and name for name in agents):
        raise ValueError(names)
    return agents


def _message_size(value: Any) -> int:
    return int(COUNT.convert(int(value) if isinstance(value, str) else value))


_TYPES: Final = {
    "latency": DELAY,
    "p99": OptionType(DELAY.allowed, optional(DELAY.convert)),
    "distribution": OptionType(", ".join(DISTRIBUTIONS[:-1]) + f" or {DISTRIBUTIONS[-1]}", _distribution),
    "jitter": OptionType(DELAY.allowed, optional(DELAY.convert)),
    "correlation": OptionType(f"a number from 0 to {STRONGEST_CORRELATION}", _correlation),
    "loss": OptionType("a share from 0 to 1, or text such as '2%'", _share),
    "burst": OptionType("a number of messages from 1 up", _burst),
    "bandwidth": OptionType(
        "bytes per second above 0, or text such as '10Mbit/s' or '200KB/s'", optional(_bandwidth)
    ),
    "message_size": OptionType("a whole number of bytes from 1 up", _message_size),
    "timeout": SPAN,
    "partitions": OptionType(
        "a list of (from, to) in seconds with from below to, or of {'from': 1, 'to': 2, 'agents': ['A']}",
        _partitions,
    ),
}


@dataclass(frozen=True, repr=False)
class Network:
    """Parameters of a network. Raises ``SettingError`` if a parameter is not allowed, or if parameters conflict.

    - ``latency``: median of the round trip, in seconds or text such as ``"80ms"`` (default 0).
    - ``p99``: 99th percentile of the round trip (default: every round trip takes ``latency``).
    - ``distribution``: the distribution with this median and p99: ``lognormal`` (default), ``uniform``,
      ``normal``, ``pareto`` or ``paretonormal`` as in tc-netem, or ``constant``. A delay is never below 0.
    - ``jitter``: the spread in place of ``p99``, as in tc-netem: for ``uniform`` half the width, for ``normal``,
      ``pareto`` and ``paretonormal`` one standard deviation.
    - ``correlation``: correlation of one agent's successive delays, from 0 (default) to 0.99.
    - ``loss``: share of the messages that are lost, in each direction (default 0).
    - ``burst``: mean number of messages lost in a row. The default 1 means independent losses, whose runs have a
      mean length of 1 / (1 - loss).
    - ``bandwidth``: bytes per second, shared by all agents and both directions (default: no limit).
    - ``message_size``: bytes of a request and of a reply in process (default 500).
    - ``timeout``: seconds after which a caller gives up waiting for a lost message (default 1).
    - ``partitions``: times in which all messages are lost, see ``Partition``.
    """

    latency: float = 0.0
    p99: float | None = None
    distribution: str = "lognormal"
    jitter: float | None = None
    correlation: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    bandwidth: float | None = None
    message_size: int = 500
    timeout: float = 1.0
    partitions: tuple[Partition, ...] = ()

    def __post_init__(self) -> None:
        for name, parameter_type in _TYPES.items():
            value = parameter_type.check(getattr(self, name), f"network: {name}")
            object.__setattr__(self, name, value)
        _check_spread(self)

    @classmethod
    def of(cls, value: Any) -> Network | None:
        """Make the network of a setting's value. Raises ``SettingError``.

        ``value`` is None (no network), a ``Network``, a profile's name, a mapping of parameters, or such a mapping
        as text (``"retail,loss=2%"``). The parameter ``"profile"`` names a profile, which the other parameters
        change.
        """
        if value is None or isinstance(value, Network):
            return value
        if isinstance(value, str):
            value = _read(value)
        if not isinstance(value, Mapping):
            raise SettingError(f"network={safe_repr(value)}: must be a profile's name, parameters or a Network")
        parameters = {str(name): parameter for name, parameter in value.items()}
        profile = parameters.pop("profile", None)
        for name in parameters:
            _check_name(name)
        start = {} if profile is None else _profile(profile).to_dict()
        return cls(**_started_from(start, parameters))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults, in builtin types that JSON can hold."""
        parameters = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        if self.partitions:
            parameters["partitions"] = [partition.to_builtin() for partition in self.partitions]
        return parameters

    def __repr__(self) -> str:
        return f"Network({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"


def _check_spread(network: Network) -> None:
    latency, p99, jitter = network.latency, network.p99, network.jitter
    if p99 is not None and jitter is not None:
        raise SettingError(f"network: p99={p99:g} and jitter={jitter:g}: give one or the other")
    if p99 is not None and p99 < latency:
        raise SettingError(f"network: p99={p99:g}: must not be below latency={latency:g}")
    if network.distribution == "constant" and (p99 or jitter):
        name = "p99" if p99 else "jitter"
        raise SettingError(
            f"network: {name}={p99 or jitter:g}: must be omitted with distribution='constant', which has no spread"
        )
    if network.distribution != "lognormal":
        return
    if jitter is not None:
        raise SettingError(f"network: jitter={jitter:g}: distribution='lognormal' takes p99 instead of jitter")
    if p99 and not latency:
        raise SettingError(f"network: p99={p99:g}: distribution='lognormal' needs latency above 0")


def _read(text: str) -> Mapping[str, Any]:
    """Parse comma-separated text: a profile's name, ``name=value`` pairs, or both. Raises ``SettingError``."""
    parts = [part.strip() for part in text.split(",") if part.strip()] or [text]
    first, *others = parts
    pairs = dict(_pair(part) for part in (others if "=" not in first else parts))
    return pairs if "=" in first else {"profile": first, **pairs}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise SettingError(f"network={safe_repr(text)}: must be name=value, such as loss=2%")
    return name.strip(), value.strip()


def _profile(name: Any) -> Network:
    if isinstance(name, str) and name in PROFILES:
        return PROFILES[name]
    raise SettingError(f"network={safe_repr(name)}: no such profile; allowed: {', '.join(PROFILES)}")


def _check_name(name: str) -> None:
    if name in _TYPES:
        return
    near = difflib.get_close_matches(name, ["profile", *_TYPES], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {_listed(_TYPES)}"
    raise SettingError(f"network: {safe_repr(name)[1:-1]}: no such parameter; {hint}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(["profile", *names])


def _started_from(profile: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile's parameters, overridden by the changes.

    If ``latency`` changes, the profile's ``p99`` changes in proportion. If another kind of spread is given, the
    profile's ``p99`` is dropped.
    """
    spread: dict[str, Any] = {}
    if changes.get("jitter") is not None:
        spread = {"p99": None, "distribution": "normal"}
    elif changes.get("distribution") == "constant":
        spread = {"p99": None}
    elif profile.get("p99") and changes.get("latency") is not None:
        latency = DELAY.check(changes["latency"], "network: latency")
        spread = {"p99": latency * (profile["p99"] / profile["latency"]) or None}
    return {**profile, **spread, **changes}


PROFILES: Final[Mapping[str, Network]] = {
    # From rack to rack: CME 2012 published a median of 52 us. No loss, and no limit of bandwidth.
    "colo": Network(latency=50e-6, p99=150e-6),
    # REST interfaces of exchanges from the same region: 10-35 ms.
    "same-region": Network(latency=0.015, p99=0.060, correlation=0.3, bandwidth=125e6),
    # From another continent: 200 to more than 500 ms.
    "cross-continent": Network(
        latency=0.250, p99=0.800, correlation=0.5, loss=0.0005, burst=2.0, bandwidth=12.5e6
    ),
    # Brokers quote 20 ms for the round trip and 9 ms for a fill. From a home connection it is more, with losses.
    "retail": Network(latency=0.080, p99=0.400, correlation=0.5, loss=0.002, burst=3.0, bandwidth=3.75e6),
}
