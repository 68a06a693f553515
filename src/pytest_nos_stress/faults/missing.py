"""Missing data: an operation whose market feed has nothing to give."""

from __future__ import annotations

from typing import NoReturn

from pytest_nos_stress.errors import MissingDataError
from pytest_nos_stress.operation import Operation


class MissingDataOperation(Operation):
    """An operation that is handed no market data: reading ``market`` raises ``MissingDataError``."""

    __slots__ = ()

    fault = "missing_data"

    @property
    def market(self) -> NoReturn:
        raise MissingDataError(f"{self.agent} has no market data for {self.task} (operation {self.index})")
