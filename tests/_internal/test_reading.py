"""Text of files and settings is a value or one plain error, however deep, long or broken it is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.reading import is_nested_too_deeply, read_json, read_literal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_literal(repr(value)) == value


@given(st.text() | st.binary())
def test_any_other_text_is_a_value_error(text: str | bytes) -> None:
    with suppress(ValueError):
        read_json(text)
    with suppress(ValueError):
        read_literal(str(text))


@pytest.mark.parametrize(
    "text",
    ["[" * 40 + "]" * 40, "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40, '{"a":' * 900 + "1" + "}" * 900],
)
def test_deeply_nested_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested more than 32 levels deep|not JSON"):
        read_json(text)


@pytest.mark.parametrize(
    "text", ["[" * 40 + "]" * 40, "-" * 5_000 + "1", "1+" * 5_000 + "1", "(" * 5_000, "{1:" * 90 + "1" + "}" * 90]
)
def test_a_deeply_nested_literal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested more than 32 levels deep|not a literal"):
        read_literal(text)


def test_a_value_that_contains_itself_is_nested_too_deeply() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    assert is_nested_too_deeply(loop)
    with pytest.raises(ValueError, match="nested more than 32 levels deep"):
        FrozenDict({"a": loop})
