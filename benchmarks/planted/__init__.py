"""Twelve small services, each with one bug, the smallest scenario that shows it, and a variant without the bug."""

from __future__ import annotations

from typing import Final

from . import money, orders, sessions
from .bug import Bug, Row, Service, Size

BUGS: Final[tuple[Bug, ...]] = (*orders.BUGS, *money.BUGS, *sessions.BUGS)

__all__ = ["BUGS", "Bug", "Row", "Service", "Size"]
