"""Fingerprint of a run: everything that must be equal for two runs to be compared.

* the scenario, except ``seed`` (by default it differs from run to run, and the figures should hold for any seed)
  and ``operation_timeout`` (it only decides when a run counts as hung);
* the engine, and this plugin's major and minor version;
* the machine: model and number of processors, architecture, operating system. In virtual time the machine is not
  compared, since its speed has no influence;
* Python: implementation, minor version, and the presence of a global interpreter lock.

The system under test is deliberately not compared.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.cpu import has_gil, processors
from pytest_nos_stress._internal.system import read
from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress._internal.version import __version__
from pytest_nos_stress.engines import ENGINES, engine_class
from pytest_nos_stress.scenario.scenario import Scenario

_DECIDES_NO_FIGURE: Final = ("seed", "engine", "operation_timeout")
_LONGEST_VALUE: Final = 200
_LONGEST_FORMATTED: Final = 60
_MOST_SHOWN: Final = 4
_MOST_LEVELS: Final = 20
_WORDS: Final = {
    "scenario": "scenario",
    "engine": "engine",
    "plugin": "version of pytest-nos-stress",
    "machine": "machine",
    "python": "Python",
}
_ENVIRONMENT: Final = ("machine", "python")


class Fingerprint(NamedTuple):
    """Scenario, versions and machine of a run, as JSON types. ``machine`` is None in virtual time."""

    scenario: Mapping[str, Any]
    engine: str
    plugin: str
    machine: Mapping[str, Any] | None
    python: Mapping[str, Any]

    @classmethod
    def of(cls, scenario: Scenario) -> Fingerprint:
        """Return the fingerprint of a run of a scenario here and now."""
        values = {name: _short(value) for name, value in scenario.to_dict().items() if value is not None}
        return cls(
            {name: values[name] for name in sorted(values) if name not in _DECIDES_NO_FIGURE},
            scenario.engine,
            ".".join(__version__.split(".")[:2]),
            None if is_modelled(scenario.engine) else _machine(),
            _python(),
        )

    @classmethod
    def from_json(cls, values: Any) -> Fingerprint:
        """Return the fingerprint that ``as_json`` wrote. Raise ``ValueError`` for anything else."""
        if not isinstance(values, dict) or set(values) != set(cls._fields) or _is_deep(values):
            raise ValueError("no fingerprint")
        fingerprint = cls(**values)
        machine = {} if fingerprint.machine is None else fingerprint.machine
        if not all(isinstance(part, dict) for part in (fingerprint.scenario, fingerprint.python, machine)):
            raise ValueError("no fingerprint")
        if not isinstance(fingerprint.engine, str) or not isinstance(fingerprint.plugin, str):
            raise ValueError("no fingerprint")
        return fingerprint

    def as_json(self) -> dict[str, Any]:
        return self._asdict()

    @property
    def environment(self) -> tuple[Any, ...]:
        """Machine and Python. A baseline keeps the runs of different environments side by side."""
        return tuple(getattr(self, name) for name in _ENVIRONMENT)

    def differences(self, here: Fingerprint) -> dict[str, list[str]]:
        """Return the differences from the fingerprint of the present run, as texts by part."""
        differences = {}
        for name, words in _WORDS.items():
            saved, current = getattr(self, name), getattr(here, name)
            if not _equal(saved, current):
                differences[words] = _difference(saved, current)
        return differences


def _is_deep(value: Any, levels: int = _MOST_LEVELS) -> bool:
    """Return True if JSON is nested deeper than any scenario."""
    if not isinstance(value, (dict, list)):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deep(item, levels - 1) for item in inside)


def is_modelled(engine: str) -> bool:
    """Return True if an engine runs in virtual time, so that the machine's speed has no influence."""
    return engine in ENGINES and engine_class(engine).uses_virtual_time


def in_words(differences: Mapping[str, list[str]]) -> str:
    """Describe differences, such as ``of another scenario: operations_per_agent 100, here 200``."""
    return "; ".join(f"of another {part}: {_listed(texts)}" for part, texts in differences.items())


def _listed(differences: list[str]) -> str:
    more = len(differences) - _MOST_SHOWN
    return "; ".join([*differences[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _equal(value: Any, other: Any) -> bool:
    """Return True if both are the same JSON. In JSON, unlike in Python, 1 and true differ."""
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)


def _difference(saved: Any, current: Any) -> list[str]:
    if not isinstance(saved, Mapping) or not isinstance(current, Mapping):
        return [f"{_formatted(saved)}, here {_formatted(current)}"]
    return [
        f"{_escaped(name)} {_formatted(saved.get(name))}, here {_formatted(current.get(name))}"
        for name in sorted({*saved, *current})
        if not _equal(saved.get(name), current.get(name))
    ]


def _formatted(value: Any) -> str:
    if value is None:
        return "none"
    return _escaped(value if isinstance(value, str) else json.dumps(value))


def _escaped(text: str) -> str:
    return shorten(escape_controls(text), _LONGEST_FORMATTED)


def _short(value: Any) -> Any:
    """Return a value, or for a long value (a list of operations, recorded prices) its hash and beginning."""
    text = json.dumps(value, sort_keys=True)
    if len(text) <= _LONGEST_VALUE:
        return json.loads(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"sha256 {digest[:32]} of {text[:40]}..."


def _machine() -> dict[str, Any]:
    return {
        "architecture": platform.machine(),
        "processor": _processor(),
        "processors": processors(),
        "system": platform.system(),
    }


def _processor() -> str:
    """Return the processor's model: from ``/proc/cpuinfo`` on Linux, otherwise from ``platform``."""
    if sys.platform != "linux":
        return platform.processor()
    try:
        content = read("/proc/cpuinfo").decode("utf-8", "replace")
    except OSError:
        return ""
    model = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", content, re.M)
    return " ".join(model[1].split()) if model else ""


def _python() -> dict[str, Any]:
    return {
        "gil": has_gil(),
        "implementation": platform.python_implementation(),
        "version": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
