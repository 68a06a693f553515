"""The signature of the simulator: the seed document's parameters, then every other setting by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final

from pytest_nos_stress.config import options

BY_POSITION: Final = (
    "agents",
    "tasks",
    "missing_data_prob",
    "failure_prob",
    "operations_per_agent",
    "min_delay",
    "max_delay",
    "output_dir",
)
"""The settings that may be given by position: the seed document's parameters."""
NONE_IS_DEFAULT: Final = ("agents", "tasks")


def with_defaults(function: Callable[..., object]) -> inspect.Signature:
    """Return the signature of a method that takes every setting, with the defaults of the settings."""
    declared = inspect.signature(function).parameters
    by_position = [
        declared[name].replace(default=None if name in NONE_IS_DEFAULT else options.find(name).default)
        for name in BY_POSITION
    ]
    by_keyword = [
        inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=setting.default)
        for setting in options.SETTINGS
        if setting.name not in BY_POSITION
    ]
    return inspect.Signature([declared["self"], *by_position, declared["target"], *by_keyword])
