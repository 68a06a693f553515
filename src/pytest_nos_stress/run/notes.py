"""Notes of agents on operations that did not go as planned. The collector makes records of them."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from pytest_nos_stress._internal.outcome import Outcome


class Cause(Enum):
    """The kind of exception that ended an operation."""

    ERROR = auto()
    """An exception of the target that nobody expected."""
    EXPECTED = auto()
    """One of ``expected_errors``."""
    INJECTED = auto()
    """A planned fault, or the refusal of a rate limit."""
    CUT_SHORT = auto()
    """An exception that ends the run (``pytest.skip``), or that ends an operation because the run has ended."""


class UnplannedOutcome(NamedTuple):
    """An operation that did not end as planned.

    ``type`` and ``message`` describe the exception that ended it. They are empty, and ``cause`` is None, if it
    succeeded after all.
    """

    operation: int
    outcome: Outcome
    cause: Cause | None = None
    type: str = ""
    message: str = ""


class UnplannedEntry(NamedTuple):
    """An operation that entered the target's function although none was planned, or that did not enter it."""

    operation: int
    entered: bool


class ErrorSample(NamedTuple):
    """Example of one type of error."""

    type: str
    message: str
    agent: str
    task: str
    traceback: str
