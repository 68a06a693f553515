"""Exceptions for users that carry no result of a run."""

from __future__ import annotations


class SettingError(ValueError):
    """A setting is not allowed. The message is one line with the setting, its value and the allowed values."""


class UnknownSetting(SettingError, TypeError):
    """A keyword is not the name of a setting. Also a ``TypeError``, as for any unexpected keyword in Python."""


class MissingDataError(Exception):
    """Market data that an operation asks for is missing, because a fault of missing data is planned."""


class Abandoned(BaseException):
    """Cancels an agent that is blocked when the run ends. Not counted as an error.

    Not an ``Exception``, so that a target's ``except Exception`` does not catch it.
    """


for _public in (SettingError, MissingDataError, Abandoned):
    _public.__module__ = "pytest_nos_stress"  # where users import them from, and shorter in a summary of failures
