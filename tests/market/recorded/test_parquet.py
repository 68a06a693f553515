"""Bars are replayed from Parquet files, and an invalid file is a one-line error."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market import replay
from pytest_nos_stress.market.source import SourceBar

NINE = datetime(2024, 3, 1, 9, tzinfo=UTC)


def columns(**others: Any) -> dict[str, Any]:
    return {
        "timestamp": [NINE, NINE + timedelta(minutes=1)],
        "open": [1.0, 2.0],
        "high": [3.0, 4.0],
        "low": [1.0, 2.0],
        "close": [2.0, 3.0],
        "volume": [4, 8],
    } | others


def written(directory: Path, table: dict[str, Any]) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = directory / "aapl.parquet"
    parquet.write_table(arrow.table(table), file)
    return file


def error_of(file: Path, **settings: Any) -> str:
    with pytest.raises(SettingError) as caught:
        replay(file, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_pyarrow_the_error_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    text = error_of(tmp_path / "aapl.parquet")
    assert text.endswith('reading Parquet needs pyarrow: pip install "pytest-nos-stress[parquet]"')


@pytest.mark.parametrize(
    "stamps",
    [
        [NINE, NINE + timedelta(minutes=1)],
        [NINE.replace(tzinfo=None), NINE.replace(tzinfo=None) + timedelta(minutes=1)],
        [1_709_283_600, 1_709_283_660],
        [1_709_283_600_000, 1_709_283_660_000],
        ["2024-03-01T09:00:00Z", "2024-03-01T09:01:00Z"],
    ],
)
def test_bars_come_back_as_they_were_written(tmp_path: Path, stamps: list[Any]) -> None:
    source = replay(written(tmp_path, columns(timestamp=stamps)))
    assert source.symbols == ("AAPL",)
    assert source.bars("AAPL", 0, 60, 2) == [
        SourceBar(0, 100, 300, 100, 200, 4),
        SourceBar(60, 200, 400, 200, 300, 8),
    ]


def test_daily_bars_can_have_dates_and_whole_prices(tmp_path: Path) -> None:
    source = replay(written(tmp_path, columns(timestamp=[date(2024, 3, 1), date(2024, 3, 2)], open=[1, 2])))
    assert source.prices("AAPL", 86_400).last == 200


def test_a_file_can_have_several_symbols(tmp_path: Path) -> None:
    source = replay(written(tmp_path, columns(symbol=["A", "B"])), interval=60)
    assert source.symbols == ("A", "B")
    assert source.bars("B", 60, 60, 1) == [SourceBar(60, 200, 400, 200, 300, 8)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [2.0, float("nan")]}, ": row 2: close=nan is not a price"),
        ({"close": [None, 2.0]}, ": row 1: close=nan is not a price"),
        ({"volume": [4, -8]}, ": row 2: volume=-8 must not be negative"),
        ({"high": ["high", "higher"]}, ": column high has the type string, which is not a number"),
        ({"timestamp": [NINE, NINE]}, ": row 2: duplicate bar at 2024-03-01 09:00:00 (UTC)"),
        ({"timestamp": [NINE, None]}, ": timestamp is missing in some rows"),
        ({"timestamp": [1.5, 2.5]}, ": timestamp has the type double, which is not a time"),
        ({"timestamp": ["yesterday", "today"]}, ": timestamp is neither ISO 8601 nor a number"),
    ],
)
def test_the_error_of_an_invalid_file_names_the_row(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in error_of(written(tmp_path, columns(**change)))


def test_the_error_of_a_missing_column_names_the_columns_found(tmp_path: Path) -> None:
    table = columns()
    del table["low"]
    text = error_of(written(tmp_path, table))
    assert text.endswith("aapl.parquet': no column low; found: timestamp, open, high, close, volume")


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {name: values[:0] for name, values in columns().items()})
    assert error_of(file).endswith(": has no records")


def test_another_time_zone_than_the_one_in_the_settings_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, columns())
    assert replay(file, timezone="UTC").symbols == ("AAPL",)
    assert ": timestamp is in the time zone UTC, not in timezone='Asia/Tokyo'" in error_of(
        file, timezone="Asia/Tokyo"
    )


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, columns())
    file.write_bytes(file.read_bytes()[:-20])
    assert ": is not a Parquet file, or is cut off (" in error_of(file)
    file.unlink()
    assert error_of(file).endswith(": no such file")
