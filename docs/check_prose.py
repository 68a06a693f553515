"""Check the measurable part of the project's rules for prose, in Python files and Markdown pages.

    python docs/check_prose.py [PATH ...]

Without paths it reads the whole project. Each finding is one line: file, line, the words found and the rule.
The exit code is 1 if there is a finding. Quoted text is not prose: code blocks and `code` in Markdown are skipped.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = ("src", "tests", "examples", "benchmarks", "docs")
_PAGES: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")


class Text(NamedTuple):
    """A piece of prose and the line on which it begins."""

    line: int
    words: str


class Rule(NamedTuple):
    """Words that prose must not have, and the advice that a finding prints."""

    pattern: re.Pattern[str]
    advice: str


def _phrase(words: str, advice: str) -> Rule:
    return Rule(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), advice)


NOUN_CLAUSE: Final = Rule(
    re.compile(
        r"(?:What|Whether|How|Where|Which|Who|Whose|Whom|Why|When|Of how|Of what|Of which|For how|By what)\b"
    ),
    "begin a docstring with a verb or a noun that says what the thing does or is",
)
PHRASES: Final = (
    _phrase(r"(?:is|are|was|were|be|been|being) looked at", "name the action: evaluate, sample, inspect, read"),
    _phrase(r"(?:has|have|had) no say", "write 'does not affect'"),
    _phrase(r"as ever|works? as ever", "write 'still' or 'as before'"),
    _phrase(r"(?:is|are) there twice", "write 'duplicate'"),
    _phrase(r"what became of", "name the result"),
    _phrase(r"of (?:its|their|one's) own kind", "say what makes it different"),
    _phrase(r"but for (?:the|those|what|that|a)", "write 'except'"),
    _phrase(r"for ever", "write 'forever'"),
    _phrase(r"(?:goes|go|went) by the name", "write 'is called'"),
    _phrase(r"mended", "write 'fixed'"),
    _phrase(r"(?:that|which) goes on", "write 'in progress' or 'running'"),
    _phrase(r"runs? that goes on", "write 'a run in progress'"),
    _phrase(r"sends? again", "write 'retry'"),
    _phrase(
        r"(?:is|are) no (?:error|errors|failure|agent|agents|test|option|setting|bug)",
        "negate the verb: 'is not an error'",
    ),
    _phrase(r"says so", "name what is reported"),
)


def findings(path: Path) -> Iterator[str]:
    """Findings in one file, a line each."""
    for text, rules in _prose(path):
        for rule in rules:
            match = rule.pattern.match(text.words) if rule is NOUN_CLAUSE else rule.pattern.search(text.words)
            if match:
                line = text.line + text.words[: match.start()].count("\n")
                yield f"{_shown(path)}:{line}: {match[0]!r}: {rule.advice}"


def _prose(path: Path) -> Iterator[tuple[Text, Sequence[Rule]]]:
    if path.suffix == ".md":
        yield Text(1, _without_code(path.read_text(encoding="utf-8"))), PHRASES
        return
    source = path.read_text(encoding="utf-8")
    for text in _docstrings(ast.parse(source)):
        yield text, (NOUN_CLAUSE, *PHRASES)
    for text in _comments(path):
        yield text, PHRASES


def _docstrings(tree: ast.Module) -> Iterator[Text]:
    """Docstrings of modules, classes and functions, and the strings that describe an attribute."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                words = statement.value.value
                if isinstance(words, str):
                    yield Text(statement.lineno, words)


def _comments(path: Path) -> Iterator[Text]:
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield Text(token.start[0], token.string.lstrip("# "))


def _without_code(text: str) -> str:
    """The page with code blanked out, so that lines keep their numbers."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return re.sub(
        r"`[^`\n]*`", blank, re.sub(r"^( *)(```|~~~).*?^\1\2", blank, text, flags=re.DOTALL | re.MULTILINE)
    )


def _files() -> Iterator[Path]:
    for folder in _FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from (ROOT / page for page in _PAGES if (ROOT / page).exists())


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main(arguments: Sequence[str]) -> int:
    """Print the findings. Returns the exit code."""
    found = (
        [finding for path in map(Path, arguments) for finding in findings(path.resolve())]
        if arguments
        else [finding for path in _files() for finding in findings(path)]
    )
    print(*found, sep="\n", end="\n" * bool(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
