"""Tests that need pytest-asyncio and anyio. They are not collected if one of these is not installed.

This directory has its own ``pytest.ini``, so pytest does not load the ``conftest.py`` of the other tests here. The
fixture ``interrupt``, which presses Ctrl-C, is imported from that file.
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

collect_ignore = [] if find_spec("pytest_asyncio") and find_spec("anyio") else ["test_async_plugins.py"]

_spec = spec_from_file_location("conftest_of_all_tests", Path(__file__).parents[2] / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_shared = module_from_spec(_spec)
_spec.loader.exec_module(_shared)
interrupt = _shared.interrupt
