"""Texts of measured values, in the units that people read best."""

from __future__ import annotations


def format_seconds(value: float) -> str:
    """Return seconds as ``1.5 s``, ``20 ms``, ``3 us`` or ``4 ns``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{four_digits(value / size)} {unit}"
    return f"{value * 1e9:.4g} ns"


def format_bytes(value: float) -> str:
    """Return bytes as ``1.5 GiB``, ``20 MiB``, ``3 KiB`` or ``4 B``."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value) >= size:
            return f"{four_digits(value / size)} {unit}"
    return f"{value:g} B"


def format_per_second(value: float) -> str:
    """Return operations per second as ``1234/s``."""
    return f"{four_digits(value)}/s"


def format_percent(value: float) -> str:
    """Return a rate from 0 to 1 as ``12.5%``, as users type it in a threshold."""
    return f"{100 * value:.4g}%"


def format_index(value: float) -> str:
    """Return a number from 0 to 1 with four digits."""
    return f"{value:.4g}"


def format_count(value: float) -> str:
    """Return a whole number."""
    return f"{value:.0f}"


def four_digits(value: float) -> str:
    """Return a number with four digits; if its integer part has more, all of those."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"
