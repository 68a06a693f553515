"""Calls that fail: the target is called, and its answer is lost."""

from __future__ import annotations

from pytest_nos_stress.operation import Operation


class LostReplyOperation(Operation):
    """An operation whose reply its agent never gets: what it asked for may have been done."""

    __slots__ = ()

    fault = "lost_reply"
