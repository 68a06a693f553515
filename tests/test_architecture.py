"""The architecture page shows the layers that lint proves, and its paths exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pytest_nos_stress"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
(LAYERS,) = (contract for contract in CONTRACTS if contract["type"] == "layers")


def _layers_on_the_page() -> list[str]:
    section = PAGE.partition("## The layers")[2].partition("## ")[0]
    lines = re.findall(r"^    (\w+(?: \| \w+)?)  +\S", section, re.MULTILINE)
    assert lines
    return lines


def test_the_page_shows_the_layers_that_lint_proves() -> None:
    assert _layers_on_the_page() == LAYERS["layers"]


def test_no_contract_ignores_an_import() -> None:
    assert LAYERS["exhaustive"]
    assert not [name for contract in CONTRACTS for name in contract if name.startswith(("ignore", "skip"))]


def test_every_package_and_module_at_the_top_level_is_on_the_page() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    layers = {name for layer in LAYERS["layers"] for name in layer.split(" | ")}
    assert entries - {"__init__"} == layers | set(LAYERS["exhaustive_ignores"])
    assert len(layers) <= 14
    for name in LAYERS["exhaustive_ignores"]:
        assert f"`{name}" in PAGE


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_on_the_page_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    paths = re.findall(r"`(?:src/pytest_nos_stress/|pytest )?(\w+/[\w/]*(?:\.\w+)?)`", text)
    assert len(paths) > 15
    missing = [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()]
    assert not missing
