"""Catalogue of faults: one row for each, and brokers' profiles of them.

Everything that the rest of the package knows about a fault is in its row. Plans, agents, clients, proxies and
settings read the row. So a new fault is a row here, and the function or the feed that the row names.

The kinds of missing data are those of published feeds. The faults of calls are those that brokers document. Names
of faults follow ccxt's division into errors of the network and errors of the exchange. Nobody publishes how often
faults occur. The weights are chosen for stress tests: a few hundred operations meet each kind, and the proportions
follow the documentation as far as possible. ``missing_data_prob`` and ``failure_prob`` set the total share of
operations with faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pytest_nos_stress._internal.outcome import FAILED, MISSING, SUCCESS, Outcome

from . import call_faults as effects
from . import data_faults as feeds
from .call_faults import Effect
from .data_faults import FaultyFeed
from .parameters import Code, Number, Parameter, Parameters, Range, Share, Whole

MISSING_DATA: Final = "missing_data"
"""Name of the default kind of missing data in plans and operations. In settings it is ``unavailable``."""
LOST_REQUEST: Final = "lost_request"
LOST_REPLY: Final = "lost_reply"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """Row of a fault. The default values describe an ordinary call without a fault.

    - ``name``: the name in plans, operations and statistics.
    - ``setting``: the name in settings, if it differs.
    - ``parameters``: the types of the parameters, with defaults, by name.
    - ``outcome``: the outcome of an operation that ends as planned.
    - ``executes_target``: True if the target is called (with missing data, if its task takes the operation).
    - ``effect``: the function that returns the effect on a call.
    - ``reaches_exchange``: False if the request is lost before it reaches the exchange, so that rate limits do not
      count it.
    - ``needs_transport``: False if the fault only decides if the target is called. Then a run without network,
      limits and retries can call the target directly.
    - ``in_bursts``: True if the fault comes in bursts. Its parameter ``burst`` is their mean length.
    - ``item_deliveries``: number of times that a flaky client delivers an item of a stream; None for a fault of
      calls. A fault of streams has no effect on the calls of a flaky client.
    - ``at_proxies``: False if the fault changes the content of messages, which a proxy cannot do.
    - ``unexecuted_part_of``: the fault to which this row belongs, as the part whose calls are not executed.
      Settings name only that fault. Its parameter ``executed`` is the share of executed calls. Callers cannot tell
      the two parts apart.
    """

    name: str
    setting: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    outcome: Outcome = SUCCESS
    executes_target: bool = True
    effect: Effect = effects.no_effect
    reaches_exchange: bool = True
    needs_transport: bool = False
    in_bursts: bool = False
    item_deliveries: int | None = None
    at_proxies: bool = True
    unexecuted_part_of: str = ""

    @property
    def setting_name(self) -> str:
        """Name of the fault in settings."""
        return self.setting or self.name

    @property
    def reported_as(self) -> str:
        """Name of the fault for its callers, who cannot know whether their call was executed."""
        return self.unexecuted_part_of or self.name

    def complete(self, values: Parameters) -> dict[str, Any]:
        """Return all parameters: these values, and defaults for missing values."""
        return {
            name: parameter.convert(values.get(name, parameter.default))
            for name, parameter in self.parameters.items()
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class DataFault(Fault):
    """Kind of missing data. ``feed``: the type of the broken feed; None if reading the market raises an error."""

    feed: type[FaultyFeed] | None
    outcome: Outcome = MISSING


@dataclass(frozen=True, kw_only=True, eq=False)
class CallFault(Fault):
    """Fault of single calls, drawn for each call."""

    effect: Effect = field()
    outcome: Outcome = FAILED
    needs_transport: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class StatefulFault(Fault):
    """Fault that all calls share, such as a rate limit. It is not drawn, but depends on time and earlier calls."""

    outcome: Outcome = FAILED


F = TypeVar("F", bound=Fault)

NO_FAULT: Final = Fault(name="")
_ANSWER: Final[Mapping[str, Parameter]] = {"status": Code(), "code": Code()}
_UNKNOWN_STATE: Final[Mapping[str, Parameter]] = {"executed": Share(0.5), "delay": Range(1.0, 3.0), **_ANSWER}


def _by_name(rows: Iterable[Fault]) -> dict[str, Fault]:
    return {row.name: row for row in rows}


ROWS: Final[dict[str, Fault]] = _by_name(
    (
        DataFault(name=MISSING_DATA, setting="unavailable", feed=None),
        DataFault(name="gap", feed=feeds.Gap, parameters={"length": Range(5, 20)}),
        DataFault(
            name="silence",
            feed=feeds.Silence,
            parameters={"median": Number(0.1), "p99": Number(0.8), "most": Number(10.0)},
        ),
        DataFault(name="stale", feed=feeds.Stale, parameters={"age": Range(5.0, 30.0)}),
        DataFault(name="disconnect", feed=feeds.Disconnect, parameters={"lasts": Range(1.0, 30.0)}),
        DataFault(name="undefined", feed=feeds.Undefined),
        DataFault(name="bad_timestamp", feed=feeds.BadTimestamp, parameters={"skew": Number(1.0)}),
        DataFault(name="duplicate", feed=feeds.Duplicate, parameters={"length": Range(1, 5)}),
        DataFault(name="crossed", feed=feeds.Crossed, parameters={"ticks": Range(1, 5)}),
        DataFault(name="outlier", feed=feeds.Outlier, parameters={"size": Range(0.1, 0.5)}),
        DataFault(name="halt", feed=feeds.Halt, parameters={"lasts": Range(15.0, 300.0)}),
        DataFault(name="missing_bar", feed=feeds.MissingBar, parameters={"share": Share(0.2)}),
        CallFault(
            name=LOST_REQUEST,
            effect=effects.lose_request,
            executes_target=False,
            reaches_exchange=False,
            needs_transport=False,
        ),
        CallFault(name=LOST_REPLY, effect=effects.lose_reply, needs_transport=False),
        CallFault(
            name="late_execution",
            effect=effects.execute_late,
            parameters={"timeout": Number(1.0), "delay": Range(0.5, 3.0)},
        ),
        CallFault(name="unknown_state", effect=effects.execute_in_unknown_state, parameters=_UNKNOWN_STATE),
        CallFault(
            name="overload",
            effect=effects.refuse_by_overload,
            executes_target=False,
            in_bursts=True,
            parameters={"burst": Number(5.0, least=1.0), **_ANSWER},
        ),
        CallFault(name="reject", effect=effects.reject, executes_target=False, parameters=_ANSWER),
        CallFault(name="clock", effect=effects.reject_by_clock, executes_target=False, parameters=_ANSWER),
        CallFault(name="lost_fill", effect=effects.lose_reply, item_deliveries=0, at_proxies=False),
        CallFault(name="reject_but_filled", effect=effects.reject_but_fill, parameters=_ANSWER),
        CallFault(
            name="late_status",
            effect=effects.delay_answer,
            outcome=SUCCESS,
            parameters={"delay": Range(0.15, 0.25)},
        ),
        CallFault(
            name="duplicate_ack",
            effect=effects.execute_twice,
            outcome=SUCCESS,
            item_deliveries=2,
            at_proxies=False,
        ),
        CallFault(
            name="unknown_state_lost",
            effect=effects.drop_in_unknown_state,
            executes_target=False,
            unexecuted_part_of="unknown_state",
            parameters=_UNKNOWN_STATE,
        ),
        StatefulFault(
            name="rate_limit",
            parameters={
                "limit": Whole(6000, least=1),
                "per": Number(60.0, least=1e-6),
                "tolerated": Whole(10, optional=True),
                "ban": Number(120.0),
                **_ANSWER,
            },
        ),
        StatefulFault(name="maintenance", parameters={"at": Number(60.0), "lasts": Number(10.0), **_ANSWER}),
    )
)
"""Every fault, by its name in plans. Settings, messages and plans keep the order of the rows."""

PROFILES: Final[Mapping[str, Parameters]] = {
    "binance": {
        "rate_limit": {"limit": 6000, "per": 60.0, "tolerated": 10, "ban": 120.0, "code": -1003},
        "unknown_state": {"weight": 3.0, "status": 503, "code": -1007},
        "late_status": 3.0,
        "reject": {"weight": 1.0, "status": 400, "code": -2010},
        "lost_request": 1.0,
        "lost_reply": 1.0,
        "late_execution": 1.0,
        "overload": {"weight": 0.5, "status": 503, "code": -1008},
        "lost_fill": 0.5,
        "duplicate_ack": 0.5,
        "reject_but_filled": {"weight": 0.2, "status": 400, "code": -1013},
        "clock": {"weight": 0.1, "status": 400, "code": -1021},
    },
    "alpaca": {
        "rate_limit": {"limit": 200, "per": 60.0, "tolerated": None},
        "unknown_state": {"weight": 3.0, "status": 504},
        "late_status": 3.0,
        "reject": {"weight": 2.0, "status": 422, "code": 42210000},
        "lost_request": 1.0,
        "lost_reply": 1.0,
        "overload": {"weight": 0.5, "status": 503},
        "lost_fill": 0.5,
        "duplicate_ack": 0.5,
    },
    "ib": {
        "rate_limit": {"limit": 50, "per": 1.0, "tolerated": 3, "ban": 10.0, "code": 100},
        "maintenance": {"at": 60.0, "lasts": 10.0, "code": 1100},
        "unknown_state": {"weight": 2.0, "code": 1100},
        "late_status": 4.0,
        "late_execution": 2.0,
        "reject": {"weight": 1.0, "code": 201},
        "lost_reply": 1.0,
        "lost_fill": 0.5,
        "duplicate_ack": 1.0,
        "reject_but_filled": {"weight": 0.2, "code": 202},
    },
}
"""Profiles of brokers: weights of faults, the broker's codes, and its limits.

Sources: Binance Spot API documentation (error codes; 6,000 request weight a minute; 418 after ignored 429s),
Alpaca (200 requests a minute), Interactive Brokers TWS API (50 messages a second; error 1100 at the daily reset).
"""


def data_faults() -> dict[str, DataFault]:
    """Return the kinds of missing data that settings can name, by their names in settings."""
    return _in_settings(DataFault)


def call_faults() -> dict[str, CallFault]:
    """Return the faults of calls that settings can name, by their names in settings."""
    return _in_settings(CallFault)


def stateful_faults() -> dict[str, StatefulFault]:
    """Return the faults that all calls share, by their names in settings."""
    return _in_settings(StatefulFault)


def plannable_faults() -> tuple[str, ...]:
    """Return the names of the faults that can be planned for an operation."""
    return tuple(row.name for row in ROWS.values() if not isinstance(row, StatefulFault))


def unexecuted_parts(name: str) -> list[Fault]:
    """Return the rows that stand for the unexecuted calls of a fault."""
    return [row for row in ROWS.values() if row.unexecuted_part_of == name]


def _in_settings(kind: type[F]) -> dict[str, F]:
    rows = [row for row in ROWS.values() if isinstance(row, kind)]
    return {row.setting_name: row for row in rows if not row.unexecuted_part_of}
