"""Guarantees for handlers: the families of planned faults, and the exceptions that count as planned."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_nos_stress import faults
from pytest_nos_stress.faults.errors import is_injected


def test_the_network_and_the_exchange_are_told_apart() -> None:
    for network in (faults.NetworkFault, faults.RequestTimeout):
        assert issubclass(network, (ConnectionError, OSError))
        assert not issubclass(network, faults.ExchangeFault)
    for exchange in (
        faults.ExchangeNotAvailable,
        faults.RateLimited,
        faults.Banned,
        faults.RequestRejected,
        faults.BadClock,
    ):
        assert issubclass(exchange, faults.ExchangeFault)
        assert not issubclass(exchange, OSError)
    assert issubclass(faults.RequestTimeout, TimeoutError)
    assert issubclass(faults.Banned, faults.RateLimited)


def test_a_fault_has_its_name_status_and_code() -> None:
    error = faults.RateLimited("slow down", "rate_limit", status=429, code=-1003, retry_after=2.5)
    assert (error.kind, error.status, error.code, error.retry_after) == ("rate_limit", 429, -1003, 2.5)
    assert str(error) == "slow down"


def caught(raises: object) -> BaseException:
    with pytest.raises(BaseException) as info:
        raises()  # type: ignore[operator]
    return info.value


def test_an_exception_raised_from_a_fault_is_planned_and_one_raised_while_handling_it_is_not() -> None:
    def translated() -> None:
        try:
            raise faults.RequestTimeout("no answer")
        except faults.RequestTimeout as fault:
            try:
                raise KeyError("order") from fault
            except KeyError as error:
                raise RuntimeError("no order") from error

    def clumsy() -> None:
        try:
            raise faults.RequestTimeout("no answer")
        except faults.RequestTimeout:
            raise RuntimeError("handler is wrong")  # noqa: B904

    assert is_injected(caught(translated))
    assert not is_injected(caught(clumsy))
    assert not is_injected(ValueError())
    assert not is_injected(None)


def test_a_group_in_which_all_are_planned_faults_is_planned() -> None:
    """``asyncio.TaskGroup`` wraps the exceptions of its tasks."""
    assert is_injected(ExceptionGroup("tasks", [faults.RequestTimeout("no answer")]))
    assert not is_injected(ExceptionGroup("tasks", [faults.RequestTimeout("no answer"), KeyError("bug")]))


def test_an_exception_that_is_its_own_cause_is_an_error_and_nothing_hangs() -> None:
    """Run in a separate process, because an endless loop would hang the session."""
    code = (
        "from pytest_nos_stress.faults.errors import is_injected\n"
        "error = ValueError('a')\n"
        "error.__cause__ = error\n"
        "assert not is_injected(error)\n"
        "first, second = ValueError('a'), ValueError('b')\n"
        "first.__cause__, second.__cause__ = second, first\n"
        "assert not is_injected(first)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
