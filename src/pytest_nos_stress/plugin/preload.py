"""Imports before the first test, which may freeze the time or fake the file system.

A module that is first imported under a fake keeps it. pyfakefs also unloads such modules when its test ends. Later
tests would then get other classes than the session has, and NumPy cannot be imported twice.
"""

from __future__ import annotations

import pkgutil
import sys
from contextlib import suppress
from importlib import import_module

import pytest_nos_stress

_UNLOADS_MODULES = "pyfakefs"
_PREFIX = f"{pytest_nos_stress.__name__}."
_DEMO = f"{_PREFIX}demo"


def import_modules() -> None:
    """Import the simulator. If tests may unload modules, import all of the package, and NumPy's generators."""
    import_module(f"{_PREFIX}plugin.simulator_fixture")
    if _UNLOADS_MODULES not in sys.modules:
        return
    for module in pkgutil.walk_packages(pytest_nos_stress.__path__, _PREFIX):
        if not module.name.startswith(_DEMO):
            with suppress(ImportError):  # an extra is not installed
                import_module(module.name)
    import_module("numpy.random")
