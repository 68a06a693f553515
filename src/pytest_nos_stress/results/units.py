"""Units of metrics: symbols in thresholds, texts for people, and names in OpenMetrics and OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pytest_nos_stress._internal.validation import SECONDS_PER_UNIT

from .format import format_bytes, format_count, format_index, format_per_second, format_percent, format_seconds


class Unit(NamedTuple):
    """Base unit of a metric's values."""

    symbols: Mapping[str, float]
    """Symbols that a threshold can have, with their size in the base unit; the empty symbol allows none."""
    format: Callable[[float], str]
    """Return the text of a value for people."""
    required: str = ""
    """Name of the symbol in messages, if a threshold must have one; otherwise empty."""
    is_share: bool = False
    """True if values are from 0 to 1."""
    openmetrics: str = ""
    """Name of the unit in OpenMetrics, the ending of a metric's name there."""
    opentelemetry: str = ""
    """Unit of a gauge in OpenTelemetry (UCUM). If empty, metrics of this unit are not exported as gauges."""

    def in_base_unit(self, number: float, symbol: str) -> float:
        """Convert a number with one of the symbols to the base unit."""
        return number / 100 if symbol == "%" else number * self.symbols[symbol]

    @property
    def rule(self) -> str:
        """Unit that a threshold on the metric must have, as the end of a sentence."""
        if self.required:
            return f"needs {self.required}: {' '.join(self.symbols)}"
        optional = " ".join(filter(None, self.symbols))
        return f"takes the unit {optional}" if optional else "takes no unit"


_BYTES_PER_UNIT: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "KiB": 1024,
    "MB": 1000**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "GiB": 1024**3,
}

COUNT: Final = Unit({"": 1}, format_count)
RATIO: Final = Unit({"": 1, "%": 0.01}, format_percent, is_share=True, openmetrics="ratio", opentelemetry="1")
INDEX: Final = Unit({"": 1, "%": 0.01}, format_index, is_share=True)
PER_SECOND: Final = Unit({"": 1, "/s": 1}, format_per_second, opentelemetry="{operation}/s")
SECONDS: Final = Unit(SECONDS_PER_UNIT, format_seconds, required="a unit of time", openmetrics="seconds")
BYTES: Final = Unit(_BYTES_PER_UNIT, format_bytes, required="a unit of bytes", openmetrics="bytes")
