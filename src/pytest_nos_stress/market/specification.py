"""The market of a scenario: what a setting may say of it, and the market that opens from that.

A setting is the name of a model, the name of an event on the default model, or a mapping of ``Market``'s
parameters (``symbols``, ``model``, ``events``, ``speed``), with ``replay`` (a path, or paths by symbol) in
place of a model, and ``timezone`` beside it. Guarantee: a value that ``check_market`` gives opens.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from pytest_nos_stress.kinds import Refused
from pytest_nos_stress.options import Options, plain

from .events import EVENTS
from .quotes import Market
from .replay import replay
from .source import PriceSource
from .volatility import MODELS

_OF_MARKET: Final = ("symbols", "model", "events", "speed")
_OF_REPLAY: Final = tuple(name for name in inspect.signature(replay).parameters if name != "path")


def check_market(value: Any) -> str | Options | None:
    """The value, frozen. Raises ``Refused`` or ``ValueError`` for one that opens no market."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in MODELS and value not in EVENTS:
            raise Refused(f"no such market; there are {', '.join((*MODELS, *EVENTS))}, or a mapping")
        return value
    if not isinstance(value, Mapping):
        raise ValueError(value)
    options = Options(value)
    _check(options)
    return options


def open_market(
    value: str | Options | None, *, seed: int, clock: Callable[[], float], start: float | None
) -> Market:
    """The market that a setting's checked value stands for."""
    given = _parameters(value)
    return Market(**given, seed=seed, clock=clock, start=start)


def _parameters(value: str | Options | None) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"model": value} if value in MODELS else {"events": (value,)}
    given = {name: plain(one) for name, one in value.items() if name in _OF_MARKET}
    if "replay" in value:
        given["model"] = _recorded(Options({name: one for name, one in value.items() if name not in _OF_MARKET}))
    return given


@functools.lru_cache(maxsize=8)
def _recorded(options: Options) -> PriceSource:
    """Recorded prices, read once for all runs of a session."""
    given = {name: plain(one) for name, one in options.items()}
    return replay(given.pop("replay"), **given)


def _check(options: Options) -> None:
    allowed = (*_OF_MARKET, *_OF_REPLAY, "replay") if "replay" in options else (*_OF_MARKET, "replay")
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise Refused(f"there is no {unknown[0]!r}; there are {', '.join(allowed)}")
    if "replay" in options and "model" in options:
        raise Refused("'replay' and 'model': give one or the other")
    try:
        open_market(options, seed=0, clock=lambda: 0.0, start=0.0)
    except ValueError as error:
        raise Refused(str(error)) from None
