"""The documented import path of the Hypothesis strategies that draw scenarios."""

from pytest_nos_stress.search.strategies import scenarios

__all__ = ["scenarios"]
