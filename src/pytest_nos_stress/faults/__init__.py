"""What goes wrong on purpose: faults that the plan has drawn, as an operation meets them."""

from .missing import MissingDataOperation

__all__ = ["MissingDataOperation"]
