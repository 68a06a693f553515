"""Records as an array with names: its parts, its copies, and data frames."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress.results.record_array import COLUMNS, FIELDS, RecordArray
from pytest_nos_stress.results.records import record_dtype

AGENTS = ("Ann", "Bob")
TASKS = ("buy", "sell")
KINDS = (None, "missing_data", "lost_request", None)
DTYPE = record_dtype(np.uint16)
END = 1_795_412_507_123_456_789
ROWS = [
    (0, 0, 0, 0, 0, False, True, END, 1_500_000_001, 2_000_000_000),
    (1, 1, 0, 2, 1, False, True, END + 1, 7, 9),
    (0, 1, 1, 1, 2, False, False, END + 2, 0, 3),
    (1, 0, 1, 1, 3, True, True, END + 3, 1_000, 1_000),
]


def made(rows: list[Any] | None = None, **names: Any) -> RecordArray:
    array = np.array(ROWS if rows is None else rows, DTYPE)
    return RecordArray.of(array, **{"agents": AGENTS, "tasks": TASKS, "kinds": KINDS, **names})


def names(records: RecordArray) -> tuple[Any, ...]:
    return records.agents, records.tasks, records.kinds, records.outcomes


ALL_NAMES = (AGENTS, TASKS, KINDS, ("success", "failed", "missing_data"))


def test_records_are_an_array_with_names() -> None:
    records = made()
    assert isinstance(records, np.ndarray)
    assert records.dtype.names == FIELDS
    assert [records.agents[number] for number in records["agent"]] == ["Ann", "Bob", "Ann", "Bob"]
    assert [records.outcomes[number] for number in records["outcome"]] == [
        "success",
        "missing_data",
        "failed",
        "failed",
    ]
    assert records[0]["latency"] == 1_500_000_001


@pytest.mark.parametrize(
    "part",
    [
        lambda records: records[1:3],
        lambda records: records[::-2],
        lambda records: records[records["called"]],
        lambda records: records[[3, 0]],
        lambda records: records[:0],
        lambda records: records.view(),
        lambda records: records.copy(),
        copy.copy,
        copy.deepcopy,
        lambda records: np.sort(records, order="latency"),
        lambda records: records[1:][records[1:]["is_error"]],
        lambda records: pickle.loads(pickle.dumps(records[1:], protocol=2)),
        lambda records: pickle.loads(pickle.dumps(records, protocol=5)),
    ],
)
def test_rows_keep_the_names(part: Any) -> None:
    rows = part(made())
    assert type(rows) is RecordArray
    assert names(rows) == ALL_NAMES
    assert rows.names("fault").categories == ["missing_data", "lost_request"]


def test_a_copy_is_a_record_array() -> None:
    records = made()
    for other in (copy.copy(records), copy.deepcopy(records), pickle.loads(pickle.dumps(records))):
        assert other.tolist() == ROWS
        other["index"] = 99
    assert records["index"].tolist() == [0, 0, 1, 1]


def test_a_field_is_a_view_that_can_be_written() -> None:
    records = made()
    records["index"][2] = 42
    records[1:3]["task"] = 0
    assert records["index"].tolist() == [0, 0, 42, 1]
    assert records["task"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "compute",
    [
        lambda records: records["latency"],
        lambda records: records["latency"] / 1e9,
        lambda records: records["called"] & ~records["is_error"],
        lambda records: np.bincount(records["agent"]),
        lambda records: records[["agent", "end"]],
        lambda records: records == records,
        lambda records: records != records[::-1],
        lambda records: np.concatenate([records, records]),
    ],
)
def test_a_computed_array_is_plain(compute: Any) -> None:
    assert type(compute(made())) is np.ndarray


def test_figures_of_a_field_are_plain_numbers() -> None:
    records = made()
    assert records["latency"].max() == 1_500_000_001
    assert np.percentile(records["latency"][records["called"]], 50) == 1_000
    assert (records == made()).all()


def test_a_saved_array_is_plain_and_can_get_its_names_back() -> None:
    file = io.BytesIO()
    np.save(file, made())
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)
    assert type(loaded) is np.ndarray
    assert loaded.tolist() == ROWS
    again = RecordArray.of(loaded, agents=AGENTS, tasks=TASKS, kinds=KINDS)
    assert names(again) == ALL_NAMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents": ["Ann"]}, "agent=1: has no name; must be below 1"),
        ({"tasks": []}, "task=1: has no name; must be below 0"),
        ({"kinds": [None]}, "kind=3: has no name; must be below 1"),
    ],
)
def test_a_number_without_a_name_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        made(**changes)


def test_an_array_without_the_fields_of_records_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^array: has no field agent, task, .*; must have agent, task, "):
        RecordArray.of(np.zeros(3), agents=AGENTS, tasks=TASKS, kinds=KINDS)


def test_a_pandas_frame_has_names_times_and_seconds() -> None:
    pandas = pytest.importorskip("pandas")
    frame = made().to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["agent"].tolist() == ["Ann", "Bob", "Ann", "Bob"]
    assert frame["outcome"].tolist() == ["success", "missing_data", "failed", "failed"]
    assert list(frame["outcome"].cat.categories) == ["success", "failed", "missing_data"]
    assert frame["fault"].isna().tolist() == [True, False, False, True]
    assert frame["fault"][1:3].tolist() == ["missing_data", "lost_request"]
    assert frame["error"].tolist() == [False, False, False, True]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert frame["time"][0] == pandas.Timestamp(END, tz="UTC")
    assert frame["time"][1].nanosecond == 790
    assert frame["latency_s"].tolist()[:2] == [1.500000001, 7e-9]
    assert frame["latency_s"].isna().tolist() == [False, False, True, False]
    assert frame["response_time_s"].isna().tolist() == [False, False, True, False]
    assert frame.groupby("agent", observed=True)["error"].sum().to_dict() == {"Ann": 0, "Bob": 1}


def test_a_polars_frame_has_names_times_and_seconds() -> None:
    polars = pytest.importorskip("polars")
    frame = made().to_polars()
    assert frame.columns == list(COLUMNS)
    assert frame["agent"].to_list() == ["Ann", "Bob", "Ann", "Bob"]
    assert frame.schema["outcome"] == polars.Enum(["success", "failed", "missing_data"])
    assert frame["outcome"].to_list() == ["success", "missing_data", "failed", "failed"]
    assert frame["fault"].to_list() == [None, "missing_data", "lost_request", None]
    assert frame.schema["time"] == polars.Datetime("ns", "UTC")
    assert frame["time"].dt.timestamp("ns").to_list()[0] == END
    assert frame["time"][0] == datetime(2026, 11, 23, 5, 41, 47, 123456, UTC)
    assert frame["latency_s"].to_list() == [1.500000001, 7e-9, None, 1e-6]
    assert frame["response_time_s"].null_count() == 1
    assert frame.filter(polars.col("fault") == "lost_request").height == 1


@pytest.mark.parametrize("rows", [[], ROWS[:1]])
def test_empty_and_short_records_become_data_frames(rows: list[Any]) -> None:
    for library, method in (("pandas", RecordArray.to_pandas), ("polars", RecordArray.to_polars)):
        pytest.importorskip(library)
        assert method(made(rows)).shape == (len(rows), len(COLUMNS))


def test_seconds_are_exact_to_the_nanosecond_for_weeks() -> None:
    pytest.importorskip("pandas")
    nanoseconds = [1, 999_999_999, 1_000_000_001, 48 * 86_400 * 10**9 + 1]
    rows = [(*ROWS[0][:8], duration, duration) for duration in nanoseconds]
    seconds = made(rows).to_pandas()["latency_s"]
    assert [round(duration * 1e9) for duration in seconds] == nanoseconds


def test_names_of_any_characters_become_categories() -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    odd = ("=1+1\n<b>", "\ud800")
    records = made(agents=odd)
    written = ["=1+1\n<b>", "\\ud800", "=1+1\n<b>", "\\ud800"]
    assert records.to_pandas()["agent"].tolist() == written
    assert records.to_polars()["agent"].to_list() == written


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_one_line_with_the_command_that_installs_it(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        getattr(made(), f"to_{library}")()
    assert str(caught.value) == f"records.to_{library}() needs {library}: pip install {library}"
    assert caught.value.name == library
