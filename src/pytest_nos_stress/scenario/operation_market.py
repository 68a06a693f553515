"""Operations as they are handed to a task: with what is planned to go wrong, and the market they are to see."""

from __future__ import annotations

import functools
from typing import Any

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.errors import MissingDataError
from pytest_nos_stress.faults.data_faults import FEEDS, FaultyFeed
from pytest_nos_stress.faults.mix import MISSING_DATA, PlannedFault

from .operation import Operation


class MissingDataOperation(Operation):
    """An operation that is handed no market data: reading ``market`` raises ``MissingDataError``."""

    __slots__ = ()

    fault = MISSING_DATA

    @property
    def market(self) -> Any:
        raise MissingDataError(f"{self.agent} has no market data for {self.task} (operation {self.index})")


class FaultyFeedOperation(Operation):
    """An operation whose market is seen through a broken feed."""

    __slots__ = ("_feed",)

    kind: PlannedFault
    _feed: FaultyFeed

    @property
    def market(self) -> Any:
        try:
            return self._feed
        except AttributeError:
            performer = self._performer
            random = derived_rng("feed", performer.seed, self.agent, self.index)
            feed = FEEDS[str(self.fault)]
            self._feed = feed(performer.market, performer.now, random, self.kind.parameters)
            return self._feed


@functools.lru_cache(maxsize=1024)
def operation_type(kind: PlannedFault, base: type[Operation]) -> type[Operation]:
    """The operations of a kind of plan, made from those of an engine."""
    if kind.fault is None:
        return base
    bases: tuple[type[Operation], ...] = (base,)
    if kind.is_missing_data:
        bases = (MissingDataOperation if kind.fault == MISSING_DATA else FaultyFeedOperation, base)
    if bases[-1] is Operation and len(bases) == 2:
        bases = bases[:1]
    members: dict[str, Any] = {"__slots__": (), "fault": kind.fault}
    if bases[0] is FaultyFeedOperation:
        members["kind"] = kind
    return type("Operation", bases, members)
