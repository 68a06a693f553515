"""What goes wrong on purpose: faults that the plan has drawn, as an operation meets them."""

from .calls import LostReplyOperation
from .missing import MissingDataOperation

__all__ = ["LostReplyOperation", "MissingDataOperation"]
