"""A ledger in SQLite's WAL mode, whose transactions fail under stress with ``database is locked``.

A transaction that reads first cannot write if another transaction has written since. SQLite reports this at once,
whatever the timeout. A transaction that begins with ``BEGIN IMMEDIATE`` waits for its turn instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_nos_stress import Operation, StressResult, StressSimulator, ThresholdsNotMet


class Ledger:
    """An account's balance and its deposits. ``begin`` is the statement that begins each transaction."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE account (balance INTEGER)")
            connection.execute("CREATE TABLE deposit (id TEXT PRIMARY KEY, amount INTEGER)")
            connection.execute("INSERT INTO account VALUES (0)")

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that waits up to 20 seconds for a lock. Python does not begin transactions on it."""
        with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Commit what the block does, or roll it back if the block raises."""
        connection.execute(self.begin)
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def deposit(self, operation: Operation) -> None:
        connection: sqlite3.Connection = operation.context
        with self.transaction(connection):
            (balance,) = connection.execute("SELECT balance FROM account").fetchone()
            operation.sleep(0.001)  # a call to another service
            connection.execute("INSERT INTO deposit VALUES (?, 10)", [operation.id])
            connection.execute("UPDATE account SET balance = ?", [balance + 10])

    def audit(self) -> list[str]:
        """Return the problems of the books; an empty list if the books balance."""
        with self.connection() as connection:
            (balance,) = connection.execute("SELECT balance FROM account").fetchone()
            (deposited,) = connection.execute("SELECT total(amount) FROM deposit").fetchone()
        return [] if balance == deposited else [f"the balance is {balance}, {deposited} was deposited"]


class DeferredLedger(Ledger):
    """A ledger whose transactions read first and ask for the write lock later."""

    begin = "BEGIN DEFERRED"


def stress(stress_simulator: StressSimulator, ledger: Ledger) -> StressResult:
    return stress_simulator.run(
        ledger,
        tasks=["deposit"],
        agents=8,
        operations_per_agent=20,
        min_delay=0,
        max_delay=0,
        failure_prob=0,
        missing_data_prob=0,
        per_agent=lambda _agent: ledger.connection(),
        checks=[ledger.audit],
    )


def test_a_locked_database_is_caught(stress_simulator: StressSimulator, tmp_path: Path) -> None:
    ledger = DeferredLedger(tmp_path / "ledger.db")
    with pytest.raises(ThresholdsNotMet, match="OperationalError: database is locked"):
        stress(stress_simulator, ledger)
    assert ledger.audit() == [], "expected failed transactions to change nothing"


def test_a_ledger_with_immediate_transactions_passes(stress_simulator: StressSimulator, tmp_path: Path) -> None:
    result = stress(stress_simulator, Ledger(tmp_path / "ledger.db"))
    assert result.successes == result.operations
