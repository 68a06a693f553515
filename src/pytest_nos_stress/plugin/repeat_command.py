"""The command that repeats a test's run."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from pytest_nos_stress._internal.text import shell_command
from pytest_nos_stress.config.options import SETTINGS
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS


def repeat_command(item: pytest.Item, directory: Path, seed: int, scenario_file: Path | None = None) -> str:
    """Return a command that performs the same plan again: by seed, or from a scenario file.

    ``directory``: the directory in which the session was started.
    """
    config = item.config
    parts = ["pytest", "--stress"]
    decided: Collection[str] = ("seed", "scenario")
    if scenario_file is None:
        parts.append(f"--stress-seed={seed}")
    else:
        parts.append(f"--stress-scenario={os.path.relpath(scenario_file, directory)}")
        decided = (*SCENARIO_OPTIONS, "scenario")
    for setting in SETTINGS:
        raw = config.getoption(setting.dest) if setting.flag and setting.name not in decided else None
        for value in raw if isinstance(raw, list) else [raw]:
            if setting.is_switch:
                parts += [str(setting.flag)] if value else []
            elif setting.name != "save_baseline" and value is not None:
                parts.append(f"{setting.flag}={value}")
    for override in config.getoption("override_ini", None) or []:
        parts += ["-o", override]
    if config.getoption("inifilename", None):
        parts += ["-c", str(config.getoption("inifilename"))]
    test_file = os.path.relpath(item.path, directory)
    _, separator, rest = item.nodeid.partition("::")
    return shell_command([*parts, f"{test_file}{separator}{rest}"])
