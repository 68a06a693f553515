"""Shared by the tests and the examples."""

# Before pytester, which forgets what is imported in its own runs: NumPy cannot be imported a second time in one
# process, and the plugin's exceptions must stay the classes that tests have imported.
import pytest_nos_stress.plugin_fixture
import pytest_nos_stress.plugin_reports  # noqa: F401

pytest_plugins = ["pytester"]
