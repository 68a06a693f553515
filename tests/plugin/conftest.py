"""Fixtures of the tests of the plugin."""

from __future__ import annotations

import pytest

RUN_AGAIN = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for attempt in ("first", "last"):
        item.config.attempt = attempt
        item._initrequest()
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if attempt == "first" and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


@pytest.fixture
def reruns(pytester: pytest.Pytester) -> None:
    """Perform each test twice, as pytest-rerunfailures does. ``config.attempt`` is ``first`` or ``last``."""
    pytester.makeconftest(RUN_AGAIN)
