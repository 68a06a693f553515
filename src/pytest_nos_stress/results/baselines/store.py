"""Files of baselines: ``<directory>/<name>/<label>.json``, one for each test, to commit to a repository.

A file has an entry for each environment (machine and Python) whose runs were saved, with its latest ten runs. A
run is one line, so a save changes one or two lines of the file. A file is replaced as a whole or not at all. If
two processes save the same test at the same time, one of the two runs may be lost, but never the file.

``BaselineUnusable`` is raised if a run cannot be compared: no baseline is saved, it is of another scenario or
machine, or its file is damaged or of a later version. Runs that differ are never compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress._internal.instrument import gmtime, strftime, wall_ns
from pytest_nos_stress._internal.reading import read_json
from pytest_nos_stress._internal.system import make_directory, read, real_path
from pytest_nos_stress._internal.text import escape_controls, safe_repr, shorten
from pytest_nos_stress._internal.validation import ALLOWED_FILE_NAME, file_name
from pytest_nos_stress.errors import SettingError

from . import encoding
from .fingerprint import Fingerprint, in_words, is_modelled
from .sketch import RunSketch

SCHEMA_VERSION: Final = 1
MOST_RUNS: Final = 10
"""Runs kept for each environment, the latest."""
MOST_ENVIRONMENTS: Final = 20
"""Environments kept in a file, the latest."""
_MOST_BYTES: Final = 64 << 20


class BaselineUnusable(Exception):
    """Reason why a run cannot be compared with a baseline, one line."""


class Baseline(NamedTuple):
    """Kept runs that a run can be compared with, oldest first."""

    name: str
    runs: tuple[RunSketch, ...]
    modelled_time: bool


class _Entry(NamedTuple):
    """Runs with one fingerprint, each as its JSON in the file."""

    fingerprint: Fingerprint
    runs: tuple[dict[str, Any], ...]


class _Damaged(ValueError):
    """Error of a file that ``save`` cannot have written."""


class _Later(ValueError):
    """Error of a file that a later version of the plugin wrote."""


def check_name(name: Any, label: str = "save_baseline") -> str:
    """Validate the name of a baseline and return it. ``label`` is the setting's name in a ``SettingError``."""
    try:
        return file_name(name)
    except ValueError:
        raise SettingError(f"{label}={safe_repr(name)}: must be {ALLOWED_FILE_NAME}") from None


def path_of(directory: Path, name: str, label: str) -> Path:
    """Return the path of a test's baseline.

    ``label`` is the test's name, which the caller has made safe for a file name. Raise ``SettingError`` if the
    name or the label is not allowed, or if the path is outside of the directory.
    """
    check_name(name)
    is_safe = bool(label.strip(". ")) and not re.search(r"[/\\:\x00-\x1f\x7f]", label)
    path = directory / name / f"{label}.json"
    if not is_safe or not _is_in(path, directory):
        raise SettingError(
            f"baseline_dir={str(directory)!r}: {safe_repr(label)} would be saved outside of it; use a file name"
        )
    return path


def _is_in(path: Path, directory: Path) -> bool:
    try:
        return real_path(path).is_relative_to(real_path(directory))
    except (OSError, RuntimeError, ValueError):
        return False


def save(directory: Path, name: str, label: str, fingerprint: Fingerprint, run: RunSketch, seed: int) -> Path:
    """Add a run to a baseline. Return the path of the file.

    The run joins the kept runs of its environment if their fingerprints are equal, and replaces them otherwise.
    Damaged entries are dropped. A file of a later version is not changed.

    Raises:
        SettingError: The name or label is not allowed, or the file cannot be written or is of a later version.
    """
    path = path_of(directory, name, label)
    try:
        entries = _read(path)
    except (_Damaged, OSError):
        entries = []
    except _Later as error:
        raise SettingError(
            f"save_baseline={name!r}: {_file(path)} {error}; delete the file to save a new baseline"
        ) from None
    moment = strftime("%Y-%m-%dT%H:%M:%S+00:00", gmtime(wall_ns() // 1_000_000_000))
    saved = {"saved": moment, "seed": seed, **encoding.to_json(run)}
    same = [entry for entry in entries if not entry.fingerprint.differences(fingerprint)]
    others = [entry for entry in entries if _environment(entry.fingerprint) != _environment(fingerprint)]
    runs = (*(filter(_is_readable, same[0].runs) if same else ()), saved)[-MOST_RUNS:]
    _write(path, [*others, _Entry(fingerprint, runs)][-MOST_ENVIRONMENTS:], name)
    return path


def load(directory: Path, name: str, label: str, fingerprint: Fingerprint) -> Baseline:
    """Return the kept runs with the same fingerprint as a run.

    Raises:
        BaselineUnusable: There are no such runs; the message states the reason.
        SettingError: The name or label is not allowed.
    """
    path = path_of(directory, name, label)
    try:
        entries = _read(path)
        same = [entry for entry in entries if not entry.fingerprint.differences(fingerprint)]
        if same:
            runs = tuple(map(encoding.from_json, same[0].runs))
            return Baseline(name, runs, is_modelled(fingerprint.engine))
    except FileNotFoundError:
        raise BaselineUnusable(f"this test has no baseline {name!r}; {_save_it(name)}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BaselineUnusable(f"baseline {name!r}: {_file(path)} cannot be read ({reason})") from None
    except _Later as error:
        raise BaselineUnusable(f"baseline {name!r}: {_file(path)} {error}") from None
    except ValueError as error:
        reason = f"{_file(path)} is damaged ({shorten(escape_controls(str(error)), 80)})"
        raise BaselineUnusable(f"baseline {name!r}: {reason}; {_save_it(name, again=True)}") from None
    raise BaselineUnusable(f"baseline {name!r} is {_nearest(entries, fingerprint)}; {_save_it(name, again=True)}")


def _nearest(entries: Sequence[_Entry], fingerprint: Fingerprint) -> str:
    """Describe the differences from the entry with the fewest differing parts; of several, the latest."""
    if not entries:
        return "empty"
    differences = [entry.fingerprint.differences(fingerprint) for entry in reversed(entries)]
    return in_words(min(differences, key=len))


def _save_it(name: str, *, again: bool = False) -> str:
    return f"save it{' again' if again else ''} with --stress-save-baseline {name}"


def _file(path: Path) -> str:
    return escape_controls(path.name)


def _environment(fingerprint: Fingerprint) -> str:
    return json.dumps(fingerprint.environment, sort_keys=True)


def _read(path: Path) -> list[_Entry]:
    """Read the entries of a file. Raise ``FileNotFoundError`` if there is no file yet."""
    data = read(path, _MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise _Damaged(f"more than {_MOST_BYTES >> 20} MiB")
    try:
        values = read_json(data)
    except ValueError as error:
        raise _Damaged(str(error)) from None
    if not isinstance(values, dict) or type(values.get("schema_version")) is not int:
        raise _Damaged("no schema_version")
    if values["schema_version"] > SCHEMA_VERSION:
        raise _Later(f"has schema_version {values['schema_version']}, this version reads {SCHEMA_VERSION}")
    entries = values.get("entries")
    if not isinstance(entries, list):
        raise _Damaged("no entries")
    return [_entry(entry) for entry in entries]


def _entry(values: Any) -> _Entry:
    if not isinstance(values, dict) or not isinstance(values.get("runs"), list) or not values["runs"]:
        raise _Damaged("an entry without runs")
    if not all(isinstance(run, dict) for run in values["runs"]):
        raise _Damaged("a run is not an object")
    try:
        return _Entry(Fingerprint.from_json(values.get("identity")), tuple(values["runs"]))
    except ValueError as error:
        raise _Damaged(str(error)) from None


def _is_readable(run: dict[str, Any]) -> bool:
    try:
        encoding.from_json(run)
    except ValueError:
        return False
    return True


def _write(path: Path, entries: Sequence[_Entry], name: str) -> None:
    try:
        make_directory(path.parent)
        write_atomic(path, [_text(entries).encode()])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(f"save_baseline={name!r}: {str(path)!r} cannot be written ({reason})") from None


def _text(entries: Sequence[_Entry]) -> str:
    """Return the file's content: JSON with one line for each run."""
    parts = []
    for entry in entries:
        runs = ",\n    ".join(_line(run) for run in entry.runs)
        parts.append(
            f'{{\n   "identity": {_line(entry.fingerprint.as_json())},\n   "runs": [\n    {runs}\n   ]\n  }}'
        )
    listed = ",\n  ".join(parts)
    return f'{{\n "entries": [\n  {listed}\n ],\n "schema_version": {SCHEMA_VERSION}\n}}\n'


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(", ", ": "))
