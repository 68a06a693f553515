"""Planted bugs in clients of interrupted feeds and sessions."""

from __future__ import annotations

import contextlib
from collections import Counter

from pytest_nos_stress import MissingDataError, Operation
from pytest_nos_stress.market import Quote

from .bug import Bug


class StaleQuote:
    """A desk whose traders use its last quote while the feed is down. A quote is good for 30 s.

    Bug: the age of the quote is not checked.
    """

    GOOD_FOR = 30.0

    def __init__(self) -> None:
        self.last: Quote | None = None
        self.ages: list[float] = []

    def watch(self, operation: Operation) -> None:
        self.last = operation.market.quote("AAPL")

    def buy(self, operation: Operation) -> None:
        with contextlib.suppress(MissingDataError):
            self.watch(operation)
        age = self._age(operation)
        if self.last is not None and self._is_good(age):
            self.ages.append(age)

    def _age(self, operation: Operation) -> float:
        return 0.0 if self.last is None else operation.now() - self.last.timestamp

    def _is_good(self, _age: float) -> bool:
        return True

    def audit(self) -> list[str]:
        return [f"traded on a quote {age:g} s old" for age in self.ages if age > self.GOOD_FOR]


class StaleQuoteFixed(StaleQuote):
    """Quotes that are too old are not used."""

    def _is_good(self, age: float) -> bool:
        return age <= self.GOOD_FOR


class SequenceReused:
    """Clients who number their messages. The venue accepts each number once.

    Bug: after a reconnect, a client continues after the last number that was acknowledged to it.
    """

    def __init__(self) -> None:
        self.next_number: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.received: Counter[tuple[str, int]] = Counter()

    def send(self, operation: Operation) -> None:
        client = operation.agent
        self.next_number[client] += 1
        self.received[client, self.next_number[client]] += 1
        if operation.fault != "lost_reply":
            self.acknowledged[client] = self.next_number[client]

    def reconnect(self, operation: Operation) -> None:
        client = operation.agent
        self.next_number[client] = self._last_number(client)

    def _last_number(self, client: str) -> int:
        return self.acknowledged[client]

    def audit(self) -> list[str]:
        return [f"{key} was received {times} times" for key, times in self.received.items() if times > 1]


class SequenceReusedFixed(SequenceReused):
    """The client asks the venue for the last number."""

    def _last_number(self, client: str) -> int:
        return max((number for receiver, number in self.received if receiver == client), default=0)


class HaltedSymbolTrades:
    """Supervisors who halt trading, each for a different reason, and resume it when that reason has passed.

    Bug: trading resumes when the first supervisor resumes it, although others still halt it.
    """

    def __init__(self) -> None:
        self.halted_by: set[str] = set()
        self.is_halted = False
        self.trades_in_halt = 0

    def buy(self) -> None:
        if not self.is_halted and self.halted_by:
            self.trades_in_halt += 1

    def halt(self, operation: Operation) -> None:
        self.halted_by.add(operation.agent)
        self.is_halted = True

    def resume(self, operation: Operation) -> None:
        if operation.agent in self.halted_by:
            self.halted_by.remove(operation.agent)
            self.is_halted = self._stays_halted()

    def _stays_halted(self) -> bool:
        return False

    def audit(self) -> list[str]:
        return [f"{self.trades_in_halt} trades in a halt"] if self.trades_in_halt else []


class HaltedSymbolTradesFixed(HaltedSymbolTrades):
    """Trading resumes when the last supervisor resumes it."""

    def _stays_halted(self) -> bool:
        return bool(self.halted_by)


BUGS = (
    Bug(
        "stale-quote",
        "an order is priced by a quote from before the feed went down",
        ("watch", "buy"),
        StaleQuote,
        StaleQuoteFixed,
        (("Agent_1", "watch"), ("Agent_1", "buy", "missing_data", 60.0)),
    ),
    Bug(
        "sequence-reused",
        "a number is reused after a lost reply and a reconnect",
        ("send", "reconnect"),
        SequenceReused,
        SequenceReusedFixed,
        (("Agent_1", "send", "lost_reply"), ("Agent_1", "reconnect"), ("Agent_1", "send")),
    ),
    Bug(
        "halted-symbol-trades",
        "one of two halts is lifted, and trading resumes",
        ("buy", "halt", "resume"),
        HaltedSymbolTrades,
        HaltedSymbolTradesFixed,
        (("Agent_1", "halt"), ("Agent_2", "halt"), ("Agent_1", "resume"), ("Agent_1", "buy")),
    ),
)
