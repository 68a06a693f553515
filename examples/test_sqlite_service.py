"""A ledger in SQLite, in WAL mode, that locks itself out: ``database is locked`` is found under stress.

A transaction that begins by reading and writes later cannot go on if another one has written in the meantime, and
SQLite says so at once, whatever the timeout. One that says that it is going to write waits for its turn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_nos_stress import Operation, StressResult, StressSimulator, ThresholdsNotMet


class Ledger:
    """An account's balance and the deposits it is made of. ``begin`` is how its transactions begin."""

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
        """A connection that waits up to 20 seconds for others. Transactions are begun by us, not by Python."""
        with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        """What is done in the block is done altogether, or not at all."""
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
            operation.sleep(0.001)  # the limits are looked up elsewhere
            connection.execute("INSERT INTO deposit VALUES (?, 10)", [operation.id])
            connection.execute("UPDATE account SET balance = ?", [balance + 10])

    def audit(self) -> list[str]:
        """What is wrong with the books."""
        with self.connection() as connection:
            (balance,) = connection.execute("SELECT balance FROM account").fetchone()
            (deposited,) = connection.execute("SELECT total(amount) FROM deposit").fetchone()
        return [] if balance == deposited else [f"the balance is {balance}, {deposited} was deposited"]


class OptimisticLedger(Ledger):
    """Begins to read, and hopes to be let write."""

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
    ledger = OptimisticLedger(tmp_path / "ledger.db")
    with pytest.raises(ThresholdsNotMet, match="OperationalError: database is locked"):
        stress(stress_simulator, ledger)
    assert ledger.audit() == [], "what failed was not done by half"


def test_a_ledger_that_waits_for_its_turn_passes(stress_simulator: StressSimulator, tmp_path: Path) -> None:
    result = stress(stress_simulator, Ledger(tmp_path / "ledger.db"))
    assert result.successes == result.operations
