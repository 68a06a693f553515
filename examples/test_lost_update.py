"""A lost update, caught by an assertion: a call runs between the read and the write of a balance."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_nos_stress import StressSimulator


class UnlockedAccount:
    """Two concurrent deposits can read the same balance. The later write then overwrites the earlier one."""

    def __init__(self) -> None:
        self.balance = 0

    def deposit(self) -> None:
        balance = self.balance
        self.check_limits()
        self.balance = balance + 1

    def check_limits(self) -> None:
        """Stand in for a call to another service, during which other agents run."""
        time.sleep(0.0005)


class LockedAccount(UnlockedAccount):
    """The same account with a lock around read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def deposit(self) -> None:
        with self.lock:
            super().deposit()


def deposit_from_many_agents(stress_simulator: StressSimulator, account: UnlockedAccount) -> None:
    result = stress_simulator.run(
        target=account,
        tasks=["deposit"],
        agents=8,
        operations_per_agent=25,
        min_delay=0,
        max_delay=0,
        failure_prob=0,
        missing_data_prob=0,
    )
    assert account.balance == result.successes, f"{result.successes - account.balance} deposits were lost"


def test_a_lock_keeps_every_deposit(stress_simulator: StressSimulator) -> None:
    deposit_from_many_agents(stress_simulator, LockedAccount())


def test_a_lost_update_is_caught(stress_simulator: StressSimulator) -> None:
    with pytest.raises(AssertionError, match=r"\d+ deposits were lost"):
        deposit_from_many_agents(stress_simulator, UnlockedAccount())
