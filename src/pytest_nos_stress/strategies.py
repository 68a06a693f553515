"""Hypothesis strategies that draw scenarios, under their documented import path."""

from pytest_nos_stress.search.strategies import scenarios

__all__ = ["scenarios"]
