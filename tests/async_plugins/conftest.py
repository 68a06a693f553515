"""These tests need pytest-asyncio and anyio, and are passed over where they are not installed.

They have settings of their own, beside which pytest does not see the ``conftest.py`` of all tests: its fixture
that presses Ctrl-C is taken from there.
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
