"""The error of an invalid file is one line that names the file, the line and the mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market import replay

HEADER = "timestamp,open,high,low,close,volume\n"
GOOD = "2024-03-01T09:00Z,10,12,9,11,100\n"
NEXT = "2024-03-01T09:01Z,10,12,9,11,100\n"


def error_of(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(SettingError) as caught:
        replay(*arguments, **settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


MISTAKES = {
    "nothing in the file": ("", ": the file is empty"),
    "a header and no bar": (HEADER, ": has no records"),
    "no column of closes": (
        "time,open,high,low,volume\n0,1,1,1,1\n",
        ": line 1: no column close; found: time, open, high, low, volume",
    ),
    "no column of times": (
        "open,high,low,close,volume\n1,1,1,1,1\n",
        ": line 1: no column timestamp|time|date|datetime; found: open, high, low, close, volume",
    ),
    "two columns of times": (
        "date,time,open,high,low,close,volume\n",
        ": line 1: duplicate column of the timestamp: 'date' and 'time'; must be only one",
    ),
    "a quote that never ends": ('time,"open\n' + GOOD * 9, ": line 1: no column open; found: time, open\\n2024"),
    "cut in its last line": (
        HEADER + GOOD + "2024-03-01T09:01Z,10,12",
        ": line 3: has 3 fields, expected 6; the file may be cut off",
    ),
    "a field too many": (HEADER + GOOD + NEXT.strip() + ",7\n", ": line 3: has 7 fields, expected 6"),
    "an empty line": (HEADER + GOOD + "\n" + NEXT, ": line 3: is empty"),
    "unsorted": (
        HEADER + NEXT + GOOD,
        ": line 3: not sorted: 2024-03-01 09:00:00 comes after 2024-03-01 09:01:00 (UTC)",
    ),
    "a bar twice": (HEADER + GOOD + GOOD, ": line 3: duplicate bar at 2024-03-01 09:00:00 (UTC)"),
    "a bar of a symbol twice": (
        "time,symbol,open,high,low,close,volume\n60,A,1,1,1,1,1\n60,B,1,1,1,1,1\n60,A,1,1,1,1,1\n",
        ": line 4: duplicate bar of A at 1970-01-01 00:01:00 (UTC)",
    ),
    "a price that is no number": (HEADER + "0,10,12,9,x,100\n", ": line 2: close 'x' is not a number"),
    "a price that is missing": (HEADER + "0,10,12,9,,100\n", ": line 2: close '' is not a number"),
    "a price that is NaN": (HEADER + "0,10,12,NaN,11,100\n", ": line 2: low=nan is not a price"),
    "a price without end": (HEADER + "0,10,inf,9,11,100\n", ": line 2: high=inf is not a price"),
    "a negative price": (HEADER + "0,10,12,-9,11,100\n", ": line 2: low=-9 must be above 0"),
    "a price of zero": (HEADER + "0,10,12,0,11,100\n", ": line 2: low=0 must be above 0"),
    "a price below a tick": (
        HEADER + "0,0.001,12,0.001,11,100\n",
        ": line 2: open=0.001 rounds to 0 ticks of 0.01; scale the prices",
    ),
    "a price beyond measure": (HEADER + "0,10,1e300,9,11,100\n", ": line 2: high=1e+300 must not be above 1e12"),
    "high below low": (HEADER + "0,10,8,9,8.5,100\n", ": line 2: high=8 is below low=9"),
    "open above high": (HEADER + "0,13,12,9,11,100\n", ": line 2: open=13 is not between the bar's low and high"),
    "close below low": (HEADER + "0,10,12,9,8,100\n", ": line 2: close=8 is not between the bar's low and high"),
    "a negative volume": (HEADER + GOOD + NEXT.replace("100", "-1"), ": line 3: volume=-1 must not be negative"),
    "a volume that is NaN": (HEADER + GOOD.replace("100", "nan"), ": line 2: volume=nan is not a number"),
    "a time that is none": (
        HEADER + "03/01/2024,10,12,9,11,100\n",
        ": line 2: timestamp '03/01/2024' is neither ISO 8601 nor a number",
    ),
    "a date like a number": (
        HEADER + "20240301,10,12,9,11,100\n",
        ": line 2: timestamp '20240301' looks like a date; write it as YYYY-MM-DD",
    ),
    "a day that is not in the calendar": (
        HEADER + "2024-02-30,10,12,9,11,100\n",
        ": line 2: timestamp '2024-02-30' is not a valid date and time",
    ),
    "a missing time": (HEADER + GOOD + ",10,12,9,11,100\n", ": line 3: timestamp '' is not ISO 8601"),
    "seconds, then ISO 8601": (
        HEADER + "0,10,12,9,11,100\n" + GOOD,
        ": line 3: timestamp '2024-03-01T09:00Z' is not a",
    ),
    "ISO 8601, then seconds": (HEADER + GOOD + "99,10,12,9,11,100\n", ": line 3: timestamp '99' is not ISO 8601"),
    "seconds, then milliseconds": (
        HEADER + "1709283600,10,12,9,11,100\n1709283600000,10,12,9,11,100\n",
        ": line 3: timestamp '1709283600000' is after the year 2199",
    ),
    "a time before 1970": (HEADER + "0,1,1,1,1,1\n-5,1,1,1,1,1\n", ": line 3: timestamp '-5' is before 1970"),
    "two offsets": (
        HEADER + GOOD + "2024-03-01T11:01+02:00,10,12,9,11,100\n",
        ": line 3: timestamp '2024-03-01T11:01+02:00' must have the offset of the file's first timestamp (Z)",
    ),
    "an offset, then none": (
        HEADER + GOOD + "2024-03-01T11:01,10,12,9,11,100\n",
        ": line 3: timestamp '2024-03-01T11:01' has no offset, but the file's first timestamp has one (Z)",
    ),
    "no offset, then one": (
        HEADER + GOOD.replace("Z", "") + NEXT,
        ": line 3: timestamp '2024-03-01T09:01Z' has an offset, but other timestamps of the file have none",
    ),
    "a single bar": (
        HEADER + GOOD,
        ": has a single bar of AAPL, so the length of a bar is unknown; give it, such as interval=60",
    ),
    "a symbol without a name": (
        "time,symbol,open,high,low,close,volume\n60,,1,1,1,1,1\n",
        ": line 2: the symbol is empty",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_of_an_invalid_file_names_the_line(tmp_path: Path, mistake: str) -> None:
    content, message = MISTAKES[mistake]
    file = tmp_path / "aapl.csv"
    file.write_text(content)
    text = error_of(file)
    assert text.startswith(f"replay={str(file)!r}")
    assert message in text


def test_the_line_number_is_right_far_into_a_long_file(tmp_path: Path) -> None:
    rows = [f"{60 * number},10,12,9,11,100" for number in range(20_000)]
    rows[12_345] = (
        rows[12_345].replace("12", "nan", 1) if "12" not in str(60 * 12_345) else f"{60 * 12_345},10,nan,9,11,1"
    )
    file = tmp_path / "aapl.csv"
    file.write_text(HEADER + "\n".join(rows))
    assert ": line 12347: high=nan is not a price" in error_of(file)


def test_the_error_names_the_first_of_several_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "aapl.csv"
    file.write_text(HEADER + "0,10,12,9,11,-1\n60,nan,12,9,11,1\n")
    assert ": line 2: volume=-1 must not be negative" in error_of(file)


def test_empty_lines_at_the_end_are_allowed(tmp_path: Path) -> None:
    file = tmp_path / "aapl.csv"
    file.write_text(HEADER + GOOD + NEXT + "\n\n")
    assert replay(file).symbols == ("AAPL",)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "gone.csv").endswith("gone.csv': no such file")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "aapl.csv").mkdir()
    assert "aapl.csv': cannot be read: Is a directory" in error_of(tmp_path / "aapl.csv")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aapl.csv").write_bytes(b"\x1f\x8b\x08\x00\xff\xfe" * 50)
    assert "is not text in UTF-8" in error_of(tmp_path / "aapl.csv")


def test_the_error_of_an_unknown_file_ending_asks_for_the_format(tmp_path: Path) -> None:
    assert "unknown format '.xlsx'; set format= to one of csv, parquet, lobster" in error_of(
        tmp_path / "aapl.xlsx"
    )


@pytest.mark.parametrize(
    ("stamp", "zone"),
    [("2024-03-01T10:0{}+01:00", "UTC"), ("2024-07-01T10:0{}-05:00", "America/New_York")],
)
def test_another_offset_than_that_of_the_time_zone_in_the_settings_is_refused(
    tmp_path: Path, stamp: str, zone: str
) -> None:
    file = tmp_path / "aapl.csv"
    file.write_text(HEADER + "".join(f"{stamp.format(minute)},10,12,9,11,100\n" for minute in range(2)))
    text = error_of(file, timezone=zone)
    assert f": line 2: timestamp {stamp.format(0)!r} has the offset {stamp[-6:]}" in text
    assert f"which is not that of timezone='{zone}'" in text


def test_files_that_do_not_overlap_in_time_are_named_with_their_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + GOOD + NEXT)
    (tmp_path / "b.csv").write_text((HEADER + GOOD + NEXT).replace("03-01", "03-02"))
    text = error_of({"A": tmp_path / "a.csv", "B": tmp_path / "b.csv"})
    assert "b.csv': begins at 2024-03-02 09:00:00, after " in text
    assert "a.csv' has ended at 2024-03-01 09:01:00 (UTC); the files must overlap in time" in text


def test_the_error_of_a_missing_symbol_names_the_symbols_found(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("time,symbol,open,high,low,close,volume\n60,A,1,1,1,1,1\n60,B,1,1,1,1,1\n")
    assert "has no symbol 'C'; found: A, B" in error_of(tmp_path / "all.csv", symbol="C", interval=60)
    assert "has no symbol 'C'; found: A, B" in error_of({"C": tmp_path / "all.csv"}, interval=60)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timezone": "Mars/Base"}, "timezone='Mars/Base': unknown time zone"),
        ({"format": "xml"}, "format='xml': must be one of csv, parquet, lobster"),
        ({"interval": 0}, "interval=0: must be a bar's length in seconds"),
        ({"interval": float("nan")}, "interval=nan: must be a bar's length in seconds"),
        ({"interval": "1m"}, "interval='1m': must be a bar's length in seconds"),
        ({"interval": 90}, "interval=90: must be at most 60, the shortest distance between bars of AAPL"),
        ({"spread": 0}, "spread=0: must be a whole number of ticks"),
        ({"spread": 1.5}, "spread=1.5: must be a whole number of ticks"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    file = tmp_path / "aapl.csv"
    file.write_text(HEADER + GOOD + NEXT)
    assert message in error_of(file, **settings)


def test_an_invalid_path_or_mapping_is_refused() -> None:
    assert error_of(7) == "replay=7: must be a file's path, or a mapping of symbols to paths"
    assert "must be a file's path" in error_of(b"aapl.csv")
    assert error_of({}) == "replay={}: must have at least one file"
    assert "the symbol must be a non-empty string" in error_of({1: "aapl.csv"})
    assert "symbol='A': must be left out, because the mapping of files names" in error_of(
        {"A": "a.csv"}, symbol="A"
    )
