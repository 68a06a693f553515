"""OpenTelemetry: export a finished run as one trace and a few metrics. Standard variables name the endpoint.

Nothing is exported during the run. The tracer and meter providers of the process belong to the target: spans and
points are made as values and passed to the SDK's exporters, so no provider is created, set or used. This also
lets spans have the exact times of operations, and a million operations become a histogram without a loop.

Names follow OpenTelemetry's semantic conventions if there is one (``test.case.*``, ``code.*``, ``error.type``,
``exception.*``, units in UCUM). All other names begin with ``stress.``.
"""

from __future__ import annotations

import os

from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.summary_types import Summary

from .exporter import DEADLINE, NotSent, check_packages, send
from .metrics import metrics
from .run import Result, Run
from .spans import spans

__all__ = ["DEADLINE", "Result", "check_available", "export"]

_LONGEST = 300


def check_available() -> None:
    """Raise ``SettingError`` if a package that the standard variables need is not installed."""
    try:
        if not _is_disabled():
            check_packages()
    except NotSent as problem:
        raise SettingError(f"otel=True: {problem}") from None


def export(result: Result, summary: Summary, deadline: float = DEADLINE) -> str:
    """Send a run's trace and metrics. Returns "", or the problem on one line.

    Never raises, and takes no longer than ``deadline`` (seconds, default 5) beyond reading ``result.records`` and
    importing the SDK. ``OTEL_SDK_DISABLED=true`` sends nothing and returns "".
    """
    try:
        problem = "" if _is_disabled() else _export(Run(result, summary), deadline)
    except NotSent as reason:
        problem = str(reason)
    except Exception as error:
        problem = shorten(f"nothing was sent: {type(error).__name__}: {error}", _LONGEST)
    return problem and f"OpenTelemetry: {escape_controls(problem)}"


def _export(run: Run, deadline: float) -> str:
    return send({"traces": lambda: spans(run), "metrics": lambda: [metrics(run)]}, deadline)


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
