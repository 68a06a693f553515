"""pytest-nos-stress: put concurrent trading agents on a system under test, from an ordinary pytest test.

Every pytest session imports this package if the plugin is installed. Public names are therefore imported on first
use, and the package itself imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Captures clocks and threads, before a test can replace them.
from . import _internal as _internal

if TYPE_CHECKING:
    from pytest_nos_stress.engines.virtual.locks import cooperating_locks
    from pytest_nos_stress.faults.clients import flaky
    from pytest_nos_stress.faults.errors import InjectedFault
    from pytest_nos_stress.faults.network import Network
    from pytest_nos_stress.plugin.proxy_fixture import StressProxy
    from pytest_nos_stress.plugin.simulator_fixture import StressSimulator
    from pytest_nos_stress.results.result import CheckFailed, Deadlock, RunFailed, StressResult, ThresholdsNotMet
    from pytest_nos_stress.run.checks import eventually, sometimes
    from pytest_nos_stress.run.simulator import MultiAgentSimulator, run_stress_test
    from pytest_nos_stress.scenario.operation import AsyncOperation, Operation
    from pytest_nos_stress.scenario.planned_operations import PlannedOperation
    from pytest_nos_stress.scenario.scenario import Scenario

    from ._internal.version import __version__ as __version__
    from .errors import MissingDataError, SettingError

__all__ = [
    "AsyncOperation",
    "CheckFailed",
    "Deadlock",
    "InjectedFault",
    "MissingDataError",
    "MultiAgentSimulator",
    "Network",
    "Operation",
    "PlannedOperation",
    "RunFailed",
    "Scenario",
    "SettingError",
    "StressProxy",
    "StressResult",
    "StressSimulator",
    "ThresholdsNotMet",
    "cooperating_locks",
    "eventually",
    "flaky",
    "run_stress_test",
    "sometimes",
]

_MODULES = {
    "__version__": "_internal.version",
    "AsyncOperation": "scenario.operation",
    "InjectedFault": "faults.errors",
    "Network": "faults.network",
    "flaky": "faults.clients",
    "CheckFailed": "results.result",
    "Deadlock": "results.result",
    "PlannedOperation": "scenario.planned_operations",
    "cooperating_locks": "engines.virtual.locks",
    "eventually": "run.checks",
    "sometimes": "run.checks",
    "MissingDataError": "errors",
    "MultiAgentSimulator": "run.simulator",
    "Operation": "scenario.operation",
    "RunFailed": "results.result",
    "Scenario": "scenario.scenario",
    "SettingError": "errors",
    "StressResult": "results.result",
    "StressProxy": "plugin.proxy_fixture",
    "StressSimulator": "plugin.simulator_fixture",
    "ThresholdsNotMet": "results.result",
    "run_stress_test": "run.simulator",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
