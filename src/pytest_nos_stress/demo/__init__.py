"""A stress test to look at: ``pytest --stress --pyargs pytest_nos_stress.demo``."""
