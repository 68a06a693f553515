"""The seed document's module: the same objects as in ``pytest_nos_stress``."""

from pytest_nos_stress.run.simulator import MultiAgentSimulator, run_stress_test

__all__ = ["MultiAgentSimulator", "run_stress_test"]
