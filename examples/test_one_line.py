"""An existing test that one line, the marker, turns into a stress test. Every agent performs its body."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.stress(agents=8, operations_per_agent=25, min_delay=0, max_delay="2ms")
def test_settlement_files_can_be_written_concurrently(tmp_path: Path) -> None:
    from threading import get_ident

    path = tmp_path / f"settlement-{get_ident()}.csv"
    path.write_text("AAPL,100\n")
    assert path.read_text() == "AAPL,100\n"
