"""Types of operations, one for each planned fault. Each names its fault, and has the market data of that fault."""

from __future__ import annotations

import functools
from typing import Any

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.errors import MissingDataError
from pytest_nos_stress.faults.catalogue import MISSING_DATA, DataFault
from pytest_nos_stress.faults.data_faults import FaultyFeed
from pytest_nos_stress.faults.mix import PlannedFault
from pytest_nos_stress.faults.parameters import Parameters

from .operation import Operation


class MissingDataOperation(Operation):
    """An operation without market data: reading ``market`` raises ``MissingDataError``."""

    __slots__ = ()

    fault = MISSING_DATA

    @property
    def market(self) -> Any:
        raise MissingDataError(f"{self.agent} has no market data for {self.task} (operation {self.index})")


class FaultyFeedOperation(Operation):
    """An operation that gets its market data from a broken feed."""

    __slots__ = ("_feed",)

    feed_type: type[FaultyFeed]
    parameters: Parameters
    _feed: FaultyFeed

    @property
    def market(self) -> Any:
        try:
            return self._feed
        except AttributeError:
            agent = self._agent
            random = derived_rng("feed", agent.seed, self.agent, self.index)
            self._feed = self.feed_type(agent.market, agent.now, random, self.parameters)
            return self._feed


@functools.lru_cache(maxsize=1024)
def operation_type(planned: PlannedFault, base: type[Operation]) -> type[Operation]:
    """Return the type of an operation with this planned fault. ``base``: the engine's type of operation."""
    if planned.fault is None:
        return base
    members: dict[str, Any] = {"__slots__": (), "fault": planned.fault}
    row = planned.row
    if not isinstance(row, DataFault):
        return type("Operation", (base,), members)
    view = MissingDataOperation if row.feed is None else FaultyFeedOperation
    if row.feed is not None:
        members |= {"feed_type": row.feed, "parameters": planned.parameters}
    return type("Operation", (view,) if base is Operation else (view, base), members)
