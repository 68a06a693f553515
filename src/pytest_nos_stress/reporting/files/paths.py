"""Preparation of the directory for the files of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pytest_nos_stress._internal.atomic_write import unfinished_files
from pytest_nos_stress._internal.system import make_directory, remove
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting import outputs

from . import claim


@contextlib.contextmanager
def prepared(directory: Path, test: str) -> Iterator[None]:
    """Make the directory, claim it for a run of ``test`` while the block runs, and remove an earlier run's files.

    Nothing else is removed, and no link is followed. Raises ``SettingError`` if the directory cannot be written,
    or if another run uses it.
    """
    with contextlib.ExitStack() as stack:
        try:
            make_directory(directory)
            stack.enter_context(claim.claimed(directory, test))
            _remove_earlier_files(directory)
        except claim.Claimed as holder:
            raise SettingError(
                f"output_dir={str(directory)!r}: in use by another run ({holder}); "
                "wait until it ends, or set another output_dir"
            ) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SettingError(
                f"output_dir={str(directory)!r}: cannot be written ({reason}); must be a writable directory"
            ) from None
        yield


def _remove_earlier_files(directory: Path) -> None:
    names = [output.filename for output in outputs.OUTPUTS]
    for path in (*(directory / name for name in names), *unfinished_files(directory, names)):
        remove(path)
