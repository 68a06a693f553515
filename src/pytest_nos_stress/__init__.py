"""pytest-nos-stress: concurrent trading agents on a system under test, from an ordinary pytest test.

The public names are resolved on first use, so that importing the package, which every pytest session does
where the plugin is installed, imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import eventually, sometimes
    from .engines.locks import cooperating_locks
    from .errors import CheckFailed, Deadlock, MissingDataError, RunFailed, ThresholdsNotMet
    from .faults.clients import flaky
    from .faults.errors import InjectedFault
    from .faults.network import Network
    from .operation import AsyncOperation, Operation
    from .plugin_fixture import StressSimulator
    from .plugin_proxies import StressProxy
    from .result import StressResult
    from .scenario import PlannedOperation, Scenario
    from .settings import SettingError
    from .simulator import MultiAgentSimulator, run_stress_test

__version__ = "0.1.0"

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
    "AsyncOperation": "operation",
    "InjectedFault": "faults.errors",
    "Network": "faults.network",
    "flaky": "faults.clients",
    "CheckFailed": "errors",
    "Deadlock": "errors",
    "PlannedOperation": "scenario",
    "cooperating_locks": "engines.locks",
    "eventually": "checks",
    "sometimes": "checks",
    "MissingDataError": "errors",
    "MultiAgentSimulator": "simulator",
    "Operation": "operation",
    "RunFailed": "errors",
    "Scenario": "scenario",
    "SettingError": "settings",
    "StressResult": "result",
    "StressProxy": "plugin_proxies",
    "StressSimulator": "plugin_fixture",
    "ThresholdsNotMet": "errors",
    "run_stress_test": "simulator",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
