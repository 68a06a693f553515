"""docs/check_prose.py finds what it bans, and nothing in code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_prose", ROOT / "docs" / "check_prose.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with an empty project as its root."""
    module = load_check()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "src").mkdir()
    return module


def found(check: ModuleType, path: Path, text: str) -> list[str]:
    """Write the text to the path, and return line and words of each finding."""
    path.write_text(text)
    return [":".join(finding.split(":")[1:3]) for finding in check.findings(path)]


@pytest.mark.parametrize(
    "start", ["What it does.", "Whether it runs.", "How many.", "Of how many looks one is kept."]
)
def test_a_docstring_that_begins_with_a_noun_clause_is_a_finding(
    check: ModuleType, tmp_path: Path, start: str
) -> None:
    words = start.split(" ")[0] if not start.startswith("Of") else "Of how"
    text = f'class A:\n    a = 1\n    """{start}"""\n'
    assert found(check, tmp_path / "a.py", text) == [f"3: {words!r}"]


def test_a_phrase_is_found_in_docstrings_comments_and_pages_across_lines(
    check: ModuleType, tmp_path: Path
) -> None:
    docstring = '"""Wait.\n\n    It waits for\n    ever.\n"""\n'
    assert found(check, tmp_path / "a.py", docstring) == ["3: 'for ever'"]
    assert found(check, tmp_path / "a.py", "a = 1\n# It waits for\n# ever.\n") == ["2: 'for ever'"]
    assert found(check, tmp_path / "a.md", "# It\n\nwaits for\never, and ever and for ever\n") == [
        "3: 'for ever'",
        "4: 'for ever'",
    ]


@pytest.mark.parametrize("literal", ['"5 % of it"', 'f"{a} % of it"'])
def test_messages_are_prose_in_the_package_only(check: ModuleType, tmp_path: Path, literal: str) -> None:
    assert found(check, tmp_path / "a.py", f"a = 5\nprint({literal})\n") == []
    assert len(found(check, tmp_path / "src" / "a.py", f"a = 5\nprint({literal})\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`for ever`",
        "```text\nfor ever\n```",
        "- item\n\n  ```text\n  for ever\n  ```",
        "There is no error, at 5%.",
    ],
)
def test_code_and_correct_english_are_not_found(check: ModuleType, tmp_path: Path, text: str) -> None:
    assert found(check, tmp_path / "a.md", f"{text}\n") == []


def test_the_exit_code_is_1_if_there_is_a_finding(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a.md"
    page.write_text("It waits for ever.\n")
    assert check.main([str(page)]) == 1
    assert capsys.readouterr().out == "a.md:1: 'for ever': write 'forever'\n"
    page.write_text("It waits forever.\n")
    assert check.main([str(page)]) == 0
    assert capsys.readouterr().out == ""
