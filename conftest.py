"""Shared by the tests and the examples."""

import numpy  # noqa: F401 - before pytester: NumPy cannot be imported a second time in one process

pytest_plugins = ["pytester"]
