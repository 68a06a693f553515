"""Module path of the seed document, with the same objects as ``pytest_nos_stress``."""

from pytest_nos_stress.run.simulator import MultiAgentSimulator, run_stress_test

__all__ = ["MultiAgentSimulator", "run_stress_test"]
