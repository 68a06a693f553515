"""The exceptions a user meets that carry no result of a run."""

from __future__ import annotations


class SettingError(ValueError):
    """A setting that is not allowed: one line with the setting, the value and what is allowed."""


class UnknownSetting(SettingError, TypeError):
    """A keyword that is no setting. Also a ``TypeError``, which is what Python raises for one."""


class MissingDataError(Exception):
    """The market data an operation asks for is not there: the planned missing-data fault."""


class Abandoned(BaseException):
    """Raised in an agent that waits for what cannot come any more: the end of its operation, but no error of it.

    Not an ``Exception``, so that no target handles it.
    """


for _public in (SettingError, MissingDataError, Abandoned):
    _public.__module__ = "pytest_nos_stress"  # where users import them from, and shorter in a summary of failures
