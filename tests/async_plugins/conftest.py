"""These tests need pytest-asyncio and anyio, and are passed over where they are not installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("pytest_asyncio") and find_spec("anyio") else ["test_async_plugins.py"]
