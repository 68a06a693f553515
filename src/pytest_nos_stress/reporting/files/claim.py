"""Claims: at any time, one run writes into a directory.

A claim is an operating system's lock on a hidden file in the directory. The system drops the lock when its process
ends, even by a kill, so a claim is never stale. The file names the holder, for the message that another run gets.
It is removed at the end of the run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Final

from pytest_nos_stress._internal.atomic_write import write_all
from pytest_nos_stress._internal.instrument import localtime, sleep, strftime, wall_ns
from pytest_nos_stress._internal.system import flock, is_same_file, remove, system
from pytest_nos_stress._internal.text import escape_controls, shorten

NAME: Final = ".stress_test_run.lock"
_NOT_SUPPORTED: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""Errors of file systems without locks. On these, a run claims nothing."""
_LONGEST_HOLDER: Final = 500
_MOST_ATTEMPTS: Final = 100
_BETWEEN_ATTEMPTS: Final = 0.01
_held: Final[set[int]] = set()
"""Descriptors of the claims of this process."""


class Claimed(Exception):
    """Another run has claimed the directory. The message describes that run."""


@contextlib.contextmanager
def claimed(directory: Path, test: str) -> Iterator[None]:
    """Claim an existing directory for a run of ``test`` while the block runs.

    Raises ``Claimed`` if another run has claimed it, and ``OSError`` if the directory cannot be written.
    """
    path = directory / NAME
    file = _locked(path)
    try:
        if file is not None:
            _held.add(file)
            _describe(file, test)
        yield
    finally:
        # A process that the target has forked inherits the block, and must not end its parent's claim.
        if file in _held:
            _held.remove(file)
            _release(file, path)


def _locked(path: Path) -> int | None:
    """Return a descriptor of the locked file; None if the file system has no locks."""
    for _ in range(_MOST_ATTEMPTS):
        file = _opened(path)
        if file is None:
            continue
        # An exception of a signal handler must not leave the file open: it would stay locked.
        with contextlib.ExitStack() as unless_locked:
            unless_locked.callback(system.close, file)
            try:
                flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Claimed(_holder(file)) from None
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
                remove(path)
                return None
            if _is_at(file, path):  # otherwise its last holder removed it after it was opened here
                unless_locked.pop_all()
                return file
    raise Claimed("another run")


def _opened(path: Path) -> int | None:
    """Return a descriptor of the file; None after the removal of a link, which is not followed."""
    try:
        file = system.open(path, system.O_RDWR | system.O_CREAT | system.O_NOFOLLOW | system.O_NONBLOCK, 0o666)
    except PermissionError as denied:
        # Another user's file: its lock can be asked for, too.
        try:
            file = system.open(path, system.O_RDONLY | system.O_NOFOLLOW | system.O_NONBLOCK)
        except FileNotFoundError:
            raise denied from None  # there is no such file: the directory cannot be written
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        remove(path)
        return None
    status = system.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return file
    system.close(file)
    remove(path)
    return None


def _is_at(file: int, path: Path) -> bool:
    try:
        return is_same_file(system.fstat(file), system.lstat(path))
    except FileNotFoundError:
        return False


def _describe(file: int, test: str) -> None:
    """Write the holder's name into the file. A full disk does not matter: the lock is the claim."""
    since = strftime("%Y-%m-%d %H:%M:%S", localtime(wall_ns() // 1_000_000_000))
    holder = f"{test}, process {system.getpid()} on {gethostname()}, since {since}"
    with contextlib.suppress(OSError):
        system.ftruncate(file, 0)
        write_all(file, shorten(escape_controls(holder), _LONGEST_HOLDER).encode("utf-8", "backslashreplace"))


def _holder(file: int) -> str:
    """Return the holder's name. A holder that has just locked the file gets a moment to write it."""
    for _ in range(_MOST_ATTEMPTS):
        text = system.pread(file, 4 * _LONGEST_HOLDER, 0).decode("utf-8", "replace")
        if text:
            return escape_controls(text)
        sleep(_BETWEEN_ATTEMPTS)
    return "another run"


def _release(file: int, path: Path) -> None:
    """Remove the file, then close it. Another run's file, in a directory made anew meanwhile, is left alone."""
    with contextlib.suppress(OSError):
        if _is_at(file, path):
            system.unlink(path)
    system.close(file)


def _forget_claims_of_parent() -> None:
    """Close what a forked process has inherited: a claim must end with the process that made it."""
    for file in _held:
        system.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_forget_claims_of_parent)
