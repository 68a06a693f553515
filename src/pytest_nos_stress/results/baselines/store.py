"""The files of baselines: ``<directory>/<name>/<label>.json``, one for each test, made to be kept in a repository.

A file has an entry for each environment (machine and Python) whose runs were saved, with its latest ten runs. A
run is one line, so that a save changes one or two lines of the file. Files are written whole or not at all; if two
processes save the same test at once, one of the two runs may be lost, never the file.

A baseline that cannot be compared with is ``BaselineUnusable``, in words: none saved, one of another scenario or
machine, a file that is damaged or of a later version. Nothing is compared that differs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress._internal.text import escape_controls, safe_repr, shorten
from pytest_nos_stress._internal.validation import ALLOWED_FILE_NAME, file_name
from pytest_nos_stress.errors import SettingError

from . import encoding
from .fingerprint import Fingerprint, in_words, is_modelled
from .sketch import RunSketch

SCHEMA_VERSION: Final = 1
MOST_RUNS: Final = 10
MOST_ENVIRONMENTS: Final = 20
_MOST_BYTES: Final = 64 << 20


class BaselineUnusable(Exception):
    """Why a run cannot be compared with a baseline, in one line."""


class Baseline(NamedTuple):
    """The kept runs that a run may be compared with, oldest first."""

    name: str
    runs: tuple[RunSketch, ...]
    modelled_time: bool


class _Entry(NamedTuple):
    """Runs of one fingerprint: each as the JSON that is kept of it."""

    fingerprint: Fingerprint
    runs: tuple[dict[str, Any], ...]


class _Damaged(ValueError):
    """A file that is not what ``save`` writes."""


class _Later(ValueError):
    """A file that a later version wrote."""


def check_name(name: Any, label: str = "save_baseline") -> str:
    """Return the name of a baseline. Raises ``SettingError`` under the label if it is not allowed."""
    try:
        return file_name(name)
    except ValueError:
        raise SettingError(f"{label}={safe_repr(name)}: must be {ALLOWED_FILE_NAME}") from None


def path_of(directory: Path, name: str, label: str) -> Path:
    """Where the baseline of a test is kept.

    ``label`` is the test's name, made safe for a file by the caller. Raises ``SettingError`` for a name or a label
    that is none, or that leads out of the directory.
    """
    check_name(name)
    is_safe = bool(label.strip(". ")) and not re.search(r"[/\\:\x00-\x1f\x7f]", label)
    path = directory / name / f"{label}.json"
    if not is_safe or not _is_in(path, directory):
        raise SettingError(f"baseline_dir={str(directory)!r}: {safe_repr(label)} would be kept outside of it")
    return path


def _is_in(path: Path, directory: Path) -> bool:
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def save(directory: Path, name: str, label: str, fingerprint: Fingerprint, run: RunSketch, seed: int) -> Path:
    """Add a run to a baseline, and say where it is.

    The run joins the kept runs of its environment if their fingerprint is equal, and replaces them otherwise.
    What is damaged is dropped; a file of a later version is left alone.

    Raises:
        SettingError: the name or label is not allowed, the file cannot be written or is of a later version.
    """
    path = path_of(directory, name, label)
    try:
        entries = _read(path)
    except (_Damaged, OSError):
        entries = []
    except _Later as error:
        raise SettingError(f"save_baseline={name!r}: {_file(path)} {error}; delete it to save one") from None
    saved = {"saved": datetime.now(UTC).isoformat("T", "seconds"), "seed": seed, **encoding.to_json(run)}
    same = [entry for entry in entries if not entry.fingerprint.differences(fingerprint)]
    others = [entry for entry in entries if _environment(entry.fingerprint) != _environment(fingerprint)]
    runs = (*(filter(_is_readable, same[0].runs) if same else ()), saved)[-MOST_RUNS:]
    _write(path, [*others, _Entry(fingerprint, runs)][-MOST_ENVIRONMENTS:], name)
    return path


def load(directory: Path, name: str, label: str, fingerprint: Fingerprint) -> Baseline:
    """Return the kept runs with the fingerprint of a run.

    Raises:
        BaselineUnusable: there are none; says why.
        SettingError: the name or label is not allowed.
    """
    path = path_of(directory, name, label)
    try:
        entries = _read(path)
        same = [entry for entry in entries if not entry.fingerprint.differences(fingerprint)]
        if same:
            runs = tuple(map(encoding.from_json, same[0].runs))
            return Baseline(name, runs, is_modelled(fingerprint.engine))
    except FileNotFoundError:
        raise BaselineUnusable(f"there is no baseline {name!r} of this test; {_save_it(name)}") from None
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
    """What differs, in words, from the entry that differs in the fewest parts; of equals from the latest."""
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
    """The file's entries; none where there is no file yet is ``FileNotFoundError``."""
    with open(path, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise _Damaged(f"more than {_MOST_BYTES >> 20} MiB")
    try:
        values = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
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
        raise _Damaged("a run that is none")
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
    """Under a name of this process's own first: two that wrote one unfinished file would mix their bytes."""
    own = path.with_name(f".{os.getpid()}-{threading.get_ident()}.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(own, [_text(entries).encode()])
        os.replace(own, path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(f"save_baseline={name!r}: {str(path)!r} cannot be written ({reason})") from None
    finally:
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)


def _text(entries: Sequence[_Entry]) -> str:
    """JSON with a line for each run."""
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
