"""``stress_test_records``: the operations of a run as CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator
from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting.files import parquet as parquet_module
from pytest_nos_stress.reporting.files import records as table
from pytest_nos_stress.results.record_array import COLUMNS, RecordArray
from pytest_nos_stress.results.records import record_dtype

DTYPE = record_dtype(np.uint16)
END = 1_795_412_507_123_456_789
ROWS = [
    (0, 0, 0, 0, 0, False, True, END, 1_500_000_001, 12_345_678_000_000_009),
    (1, 1, 1_000, 2, 1, False, True, END + 876_543_211, 7, 90_000_000_000),
    (0, 1, 4_294_967_295, 1, 2, False, False, END + 10**12, 0, 3),
    (1, 0, 1_000_001, 1, 0, True, True, END + 10**12, 0, 1_000),
]
ODD_NAMES = (
    'say "hi"',
    "a,b",
    "two\nlines\r\n",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "株",
    "\x1b[31m\0",
    "../../x",
    "<script>",
    " spaced ",
    "x" * 3_000,
)


def write(path: Path, records: RecordArray, format: str) -> None:
    render = {"csv": table.csv_rows, "jsonl": table.json_lines, "parquet": parquet_module.parquet_parts}[format]
    write_atomic(path, render(records))


def made(rows: list[Any] | None = None, **names: Any) -> RecordArray:
    array = np.array(ROWS if rows is None else rows, DTYPE)
    given = {
        "agents": ("Ann", "Bob"),
        "tasks": ("buy", "rebalance"),
        "kinds": (None, "missing_data", "lost_request"),
    }
    return RecordArray.of(array, **{**given, **names})


def many(size: int, **names: Any) -> RecordArray:
    """Return operations of every kind, over some seconds, with agents in random order."""
    random = np.random.default_rng(1)
    records = made([ROWS[0]] * size, **names)
    for field, names_of in (("agent", records.agents), ("task", records.tasks), ("kind", records.kinds)):
        records[field] = random.integers(0, len(names_of), size)
    records["outcome"] = random.integers(0, 3, size)
    records["called"] = random.random(size) < 0.8
    records["index"] = 10 ** random.integers(0, 10, size)
    records["end"] += np.cumsum(random.integers(0, 10_000_000, size))
    records["latency"] = random.integers(0, 10 ** random.integers(1, 14, size))
    records["response_time"] = records["latency"] + np.uint64(1)
    return records


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def expected(row: Any, records: RecordArray) -> dict[str, Any]:
    """Return a row as Python values, with durations in nanoseconds and the time in microseconds."""
    return {
        "agent": records.agents[row["agent"]],
        "task": records.tasks[row["task"]],
        "index": int(row["index"]),
        "outcome": records.outcomes[row["outcome"]],
        "fault": records.kinds[row["kind"]],
        "error": bool(row["is_error"]),
        "called": bool(row["called"]),
        "time": int(row["end"]) // 1_000,
        "latency_s": int(row["latency"]) if row["called"] else None,
        "response_time_s": int(row["response_time"]) if row["called"] else None,
    }


def from_text(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of CSV or JSON Lines as the same Python values."""

    def nanoseconds(seconds: Any) -> int | None:
        return None if seconds in ("", None) else round(float(seconds) * 1e9)

    stamp = datetime.fromisoformat(row["time"])
    return {
        **row,
        "index": int(row["index"]),
        "fault": row["fault"] or None,
        "error": row["error"] in (True, "true"),
        "called": row["called"] in (True, "true"),
        "time": int(stamp.timestamp()) * 1_000_000 + stamp.microsecond,
        "latency_s": nanoseconds(row["latency_s"]),
        "response_time_s": nanoseconds(row["response_time_s"]),
    }


def test_csv_has_a_header_and_a_row_for_each_operation(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    write(path, made(), "csv")
    assert path.read_bytes().decode().split("\r\n") == [
        "agent,task,index,outcome,fault,error,called,time,latency_s,response_time_s",
        "Ann,buy,0,success,,false,true,2026-11-23T05:41:47.123456789+00:00,1.500000001,12345678.000000009",
        "Bob,rebalance,1000,missing_data,missing_data,false,true,2026-11-23T05:41:48.000000000+00:00,"
        "0.000000007,90.000000000",
        "Ann,rebalance,4294967295,failed,lost_request,false,false,2026-11-23T05:58:27.123456789+00:00,,",
        "Bob,buy,1000001,failed,,true,true,2026-11-23T05:58:27.123456789+00:00,0.000000000,0.000001000",
        "",
    ]


def test_json_lines_have_an_object_for_each_operation(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write(path, made(), "jsonl")
    rows = json_rows(path)
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    assert rows[0] == {
        "agent": "Ann",
        "task": "buy",
        "index": 0,
        "outcome": "success",
        "fault": None,
        "error": False,
        "called": True,
        "time": "2026-11-23T05:41:47.123456789+00:00",
        "latency_s": 1.500000001,
        "response_time_s": 12345678.000000009,
    }
    assert rows[2]["latency_s"] is None
    assert rows[2]["fault"] == "lost_request"


def test_parquet_has_dictionaries_timestamps_and_nulls(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "records.parquet"
    write(path, made(), "parquet")
    found = parquet.read_table(path)
    assert found.column_names == list(COLUMNS)
    assert str(found.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert str(found.schema.field("agent").type).startswith("dictionary<values=string")
    assert found["fault"].to_pylist() == [None, "missing_data", "lost_request", None]
    assert found["latency_s"].to_pylist() == [1.500000001, 7e-9, None, 0.0]
    assert found["index"].to_pylist() == [0, 1_000, 4_294_967_295, 1_000_001]


@pytest.mark.parametrize("size", [0, 1, 5_000])
def test_all_formats_hold_every_operation(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_BLOCK_BYTES", 200_000)
    records = many(size)
    wanted = [expected(row, records) for row in records]
    for format, read in (("csv", csv_rows), ("jsonl", json_rows)):
        write(tmp_path / format, records, format)
        assert [from_text(row) for row in read(tmp_path / format)] == wanted


def test_parquet_over_several_row_groups_equals_the_data_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet_module, "_GROUP_ROWS", 1_000)
    records = many(3_500)
    write(tmp_path / "a.parquet", records, "parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "a.parquet"), records.to_pandas())
    write(tmp_path / "a.parquet", records[:0], "parquet")
    assert pandas.read_parquet(tmp_path / "a.parquet").shape == (0, len(COLUMNS))


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_names_of_any_characters_come_back_as_they_were(format: str, tmp_path: Path) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    records = many(2_000, agents=ODD_NAMES, tasks=ODD_NAMES[::-1])
    path = tmp_path / f"records.{format}"
    write(path, records, format)
    if format == "parquet":
        rows = sys.modules["pyarrow.parquet"].read_table(path).select(["agent", "task"]).to_pylist()
    else:
        rows = csv_rows(path) if format == "csv" else json_rows(path)
    assert [row["agent"] for row in rows] == [ODD_NAMES[number] for number in records["agent"]]
    assert [row["task"] for row in rows] == [ODD_NAMES[::-1][number] for number in records["task"]]


def test_a_lone_surrogate_is_escaped(tmp_path: Path) -> None:
    records = made(agents=("\ud800", "Bob"))
    write(tmp_path / "csv", records, "csv")
    write(tmp_path / "jsonl", records, "jsonl")
    assert csv_rows(tmp_path / "csv")[0]["agent"] == "\\ud800"
    assert json_rows(tmp_path / "jsonl")[0]["agent"] == "\ud800"


def test_rows_that_a_mask_chose_are_written(tmp_path: Path) -> None:
    records = made()[::-1]
    write(tmp_path / "csv", records[records["agent"] == 1], "csv")
    assert [row["index"] for row in csv_rows(tmp_path / "csv")] == ["1000001", "1000"]


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.csv"
    write(path, made(), "csv")
    before = path.read_bytes()
    rows = table._rows
    blocks: list[int] = []

    def breaks(*given: Any) -> bytes:
        blocks.append(1)
        if len(blocks) == 2:
            raise OSError(28, "No space left on device")
        return rows(*given)

    monkeypatch.setattr(table, "_rows", breaks)
    monkeypatch.setattr(table, "_BLOCK_BYTES", 100_000)
    with pytest.raises(OSError, match="No space left on device"):
        write(path, many(5_000), "csv")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(
        SettingError, match=r"^records='xls': must be csv, jsonl, parquet, several of them, or none$"
    ):
        MultiAgentSimulator(records="xls")


def test_parquet_without_pyarrow_is_an_error_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    MultiAgentSimulator(records="csv")
    with pytest.raises(SettingError) as caught:
        MultiAgentSimulator(records="parquet")
    assert str(caught.value) == (
        "records='parquet': needs a package that is not installed: pip install 'pytest-nos-stress[parquet]'; "
        "allowed: csv, jsonl, parquet, several of them, or none"
    )
