"""A demonstration: run ``pytest --stress --pyargs pytest_nos_stress.demo``."""
