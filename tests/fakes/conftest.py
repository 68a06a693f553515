"""Tests that need freezegun, time-machine and pyfakefs. They are not collected if one of them is missing."""

from __future__ import annotations

from importlib.util import find_spec

_LIBRARIES = ("freezegun", "time_machine", "pyfakefs")

collect_ignore = [] if all(map(find_spec, _LIBRARIES)) else ["test_frozen_time.py", "test_fake_file_system.py"]
