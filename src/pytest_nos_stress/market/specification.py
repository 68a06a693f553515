"""The ``market`` setting of a scenario: check its value, and open the market that it describes.

The value is the name of a model, the name of an event (which happens on the default model), or a mapping. A
mapping has parameters of ``Market`` (``symbols``, ``model``, ``events``, ``speed``). Instead of ``model`` it can
have ``replay`` (a path, or paths by symbol) with the options of ``replay()``, such as ``timezone``.

Guarantees: a value that ``check_market`` returns opens a market.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pytest_nos_stress._internal.frozen import FrozenDict, to_json_types
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import InvalidValue

if TYPE_CHECKING:
    from .quotes import Market
    from .source import PriceSource

_MODELS: Final = ("equity", "gjr", "bates", "calm")
_EVENTS: Final = ("crash", "flash_crash")
_MARKET_OPTIONS: Final = ("symbols", "model", "events", "speed")
_REPLAY_OPTIONS: Final = ("timezone", "symbol", "format", "interval", "spread")


def check_market(value: Any) -> str | FrozenDict | None:
    """Check the value and return it frozen. Raises ``InvalidValue`` or ``ValueError`` if it is not allowed."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODELS and value not in _EVENTS:
            raise InvalidValue(f"unknown name; known names: {', '.join((*_MODELS, *_EVENTS))}")
        return value
    if not isinstance(value, Mapping):
        raise InvalidValue("not a name or a mapping such as {'model': name} or {'replay': path}")
    options = FrozenDict(_in_json_types(value))
    _check_options(options)
    return options


def open_market(
    value: str | FrozenDict | None, *, seed: int, clock: Callable[[], float], start: float | None
) -> Market:
    """Open the market that a checked value describes."""
    from .quotes import Market

    return Market(**_parameters(value), seed=seed, clock=clock, start=start)


def _parameters(value: str | FrozenDict | None) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"model": value} if value in _MODELS else {"events": (value,)}
    parameters = {name: to_json_types(option) for name, option in value.items() if name in _MARKET_OPTIONS}
    if "replay" in value:
        replay_options = FrozenDict(
            {name: option for name, option in value.items() if name not in _MARKET_OPTIONS}
        )
        parameters["model"] = _open_replay(replay_options, _file_versions(value["replay"]))
    return parameters


def _file_versions(paths: Any) -> Any:
    """Return path, modification time and size of each file."""
    if isinstance(paths, Mapping):
        return tuple(_file_versions(path) for path in paths.values())
    try:
        status = os.stat(paths)  # noqa: TID251 - the user's file, as the test sees it
    except (OSError, TypeError, ValueError):
        return None
    return os.path.abspath(paths), status.st_mtime_ns, status.st_size


def _in_json_types(value: Any) -> Any:
    """Return the value with JSON's types. A path becomes a string."""
    if isinstance(value, Mapping):
        return {name: _in_json_types(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(_in_json_types, value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidValue(f"{safe_repr(value)} is not a name, number or path")


@functools.lru_cache(maxsize=8)
def _open_replay(options: FrozenDict, _versions: Any) -> PriceSource:
    """Return recorded prices. Unchanged files are read once for all runs of a session."""
    from pytest_nos_stress.market.recorded.replay import replay

    parameters = {name: to_json_types(option) for name, option in options.items()}
    return replay(parameters.pop("replay"), **parameters)


def _check_options(options: FrozenDict) -> None:
    allowed = (*_MARKET_OPTIONS, "replay", *(_REPLAY_OPTIONS if "replay" in options else ()))
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise InvalidValue(f"unknown key {unknown[0]!r}; known keys: {', '.join(allowed)}")
    if "replay" in options and "model" in options:
        raise InvalidValue("'replay' and 'model' exclude each other")
    try:
        open_market(options, seed=0, clock=lambda: 0.0, start=0.0)
    except ValueError as error:
        raise InvalidValue(str(error)) from None
