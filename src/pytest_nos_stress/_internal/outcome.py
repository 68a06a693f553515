"""The three ways in which an operation ends."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0
FAILED: Final = 1
MISSING: Final = 2
