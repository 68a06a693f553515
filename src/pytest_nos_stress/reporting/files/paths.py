"""Preparation of the directory for the files of a run."""

from __future__ import annotations

from pathlib import Path

from pytest_nos_stress._internal.atomic_write import unfinished_name
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting import outputs


def prepare(directory: Path) -> None:
    """Make the directory, and remove the files of an earlier run from it, but nothing else.

    Raises ``SettingError`` if the directory cannot be written.
    """
    names = [output.filename for output in outputs.OUTPUTS]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in (*names, *map(unfinished_name, names)):
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(
            f"output_dir={str(directory)!r}: cannot be written ({reason}); must be a writable directory"
        ) from None
