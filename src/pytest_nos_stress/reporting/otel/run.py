"""The exported data of a run, and the attributes that its trace and its metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final, Protocol

from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress._internal.version import __version__
from pytest_nos_stress.results.record_array import RecordArray
from pytest_nos_stress.results.statistics_types import Statistics
from pytest_nos_stress.results.summary_types import Summary

_SERVICE: Final = "pytest-nos-stress"
_LONGEST_TEXT: Final = 500


class Result(Protocol):
    """The part of a run's result that is exported."""

    @property
    def stats(self) -> Statistics: ...
    @property
    def records(self) -> RecordArray: ...


class Run:
    """A run to export. ``start`` and ``end`` are nanoseconds since the epoch. No operation ends after ``end``."""

    def __init__(self, result: Result, summary: Summary) -> None:
        self.summary = summary
        self.seed = summary["seed"]
        self.records = result.records
        self.has_durations = bool(result.stats["latency"]["count"])
        self.start = _nanoseconds(result.stats["start_time"])
        end = _nanoseconds(result.stats["end_time"])
        self.end = int(self.records["end"].max(initial=end))

    @property
    def test(self) -> dict[str, Any]:
        """Attributes that distinguish the runs of a session."""
        return otel_attributes({"test.case.name": self.summary["test"], "stress.run": self.summary["run"]})


def otel_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that have a value, with texts that OTLP accepts."""
    return {
        name: otel_text(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None and value != ""
    }


def otel_text(text: str) -> str:
    """Return a text that OTLP accepts: without lone surrogates and control characters, and shortened."""
    return shorten(escape_controls(text), _LONGEST_TEXT)


def resource() -> Any:
    """Return the resource from the standard variables; the service is ``pytest-nos-stress`` by default."""
    resource = import_module("opentelemetry.sdk.resources").Resource
    detected = resource.create()
    if not str(detected.attributes["service.name"]).startswith("unknown_service"):
        return detected
    return detected.merge(resource({"service.name": _SERVICE}))


def scope() -> Any:
    """Return the instrumentation scope of spans and points: this package and its version."""
    return import_module("opentelemetry.sdk.util.instrumentation").InstrumentationScope(_SERVICE, __version__)


def _nanoseconds(stamp: str) -> int:
    since = datetime.fromisoformat(stamp) - datetime.fromtimestamp(0, UTC)
    return since // timedelta(microseconds=1) * 1000
