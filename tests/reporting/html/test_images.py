from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting.html import images
from pytest_nos_stress.results.summary_types import Summary


def texts(picture: str) -> str:
    return " ".join(ElementTree.fromstring(picture).itertext())


def test_a_picture_has_the_verdict_the_findings_and_the_main_charts(burst: tuple[Any, Summary]) -> None:
    pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
    shown = texts(images.svg(*burst))
    for text in (
        "Failed",
        "Errors began at 54 s",
        "MM_2",
        "errors began",
        "99.9%",
        "latency.p99 < 20ms over 10s",
        "warm-up",
        "latency of buy",
        "latency of sell",
    ):
        assert text in shown


def test_hostile_names_are_text_in_a_picture(hostile: tuple[Any, Summary, str]) -> None:
    pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
    picture = images.svg(hostile[0], hostile[1])
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(picture).iter()}
    assert tags.isdisjoint({"img", "image", "script", "foreignObject", "a", "use"})
    assert "</script>" in texts(picture)


def test_a_png_is_the_same_picture(burst: tuple[Any, Summary]) -> None:
    pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    picture = images.png(*burst)
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 1200
    assert len(picture) > 20_000


@pytest.mark.parametrize(
    ("report", "missing"), [("svg", "py_mini_racer"), ("png", "py_mini_racer"), ("png", "resvg_py")]
)
def test_a_missing_package_for_pictures_is_one_line_before_the_run(
    report: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(SettingError) as caught:
        MultiAgentSimulator(report=report)
    assert str(caught.value) == (
        f"report={report!r}: needs a package that is not installed: pip install 'pytest-nos-stress[pictures]'; "
        "allowed: html, svg, png, several of them, or none"
    )


def test_a_run_without_latency_has_a_picture_without_it(make_run: Any, make_summary: Any) -> None:
    pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
    run = make_run([], [], [], [], [], agents=["A", "B"], tasks=["buy"], duration=1.0)
    shown = texts(images.svg(run, make_summary(run)))
    assert "Outcomes over time" in shown
    assert "Latency" not in shown
