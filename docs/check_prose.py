"""Check the measurable part of the project's rules for prose, in Python files and Markdown pages.

    python docs/check_prose.py [PATH ...]

Without paths it reads the whole project. Each finding is one line: file, line, the words found and the advice.
The exit code is 1 if there is a finding. Prose is docstrings, comments and Markdown. In ``src/`` string literals
are prose too, since they are messages and help. Code blocks and `code` in Markdown are skipped.
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
_PAGES: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")


class Text(NamedTuple):
    """A piece of prose and the line on which it begins."""

    line: int
    words: str


class Rule(NamedTuple):
    """Words that prose must not have, and the advice that a finding prints."""

    pattern: re.Pattern[str]
    advice: str


def _phrase(words: str, advice: str) -> Rule:
    """Return a rule for whole words, which may stand on two lines."""
    spaced = words.replace(" ", r"\s+")
    return Rule(re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE), advice)


NOUN_CLAUSE: Final = Rule(
    re.compile(
        r"(?:What|Whether|How|Where|Which|Who|Whose|Whom|Why|When"
        r"|(?:At|By|For|From|In|Of|On|To|With) (?:how|what|which|whom|whose))\b"
    ),
    "begin a docstring with a verb or a noun that says what the thing does or is",
)
PHRASES: Final = (
    _phrase("(?:is|are|was|were|be|been|being) looked at", "name the action: evaluate, sample, inspect, read"),
    _phrase("at (?:one|each|every) look", "name the action: sample, poll, evaluation"),
    _phrase("(?:has|have|had|having) no say", "write 'does not affect'"),
    _phrase("as ever", "write 'still' or 'as before'"),
    _phrase("(?:is|are|was|were) there twice", "write 'duplicate'"),
    _phrase("what (?:became|becomes|came|comes) of", "name the result"),
    _phrase("of (?:its|their|one's) own kind", "say what makes it different"),
    _phrase("of something of (?:its|their) own", "name the cause"),
    _phrase("taken as it was", "say what the test did with the verdict"),
    _phrase("but for (?:a|an|the|this|that|these|those|what)", "write 'except'"),
    _phrase("for ever", "write 'forever'"),
    _phrase("(?:goes|go|went) by (?:the|its|their)", "write 'is called', 'follows' or 'uses'"),
    _phrase("mend(?:s|ed|ing)?", "write 'fix'"),
    _phrase("(?:that|which) (?:still )?goes on", "write 'in progress' or 'running'"),
    _phrase("(?:send|sends|sent|sending) again", "write 'retry' or 'resend'"),
    _phrase("(?:come|comes|came|coming) as far(?! as)", "write 'reach the same point' or 'arrive'"),
    _phrase("tak(?:e|es|en|ing) the place of|took the place of", "write 'replace'"),
    _phrase("(?:is|are|was|were) said", "write 'reported', 'stated' or 'documented'"),
    _phrase("(?:say|says|said) so", "name what is reported"),
    _phrase("(?:is|are|was|were) to be", "write 'must', 'should' or 'will'"),
    _phrase(
        r"(?<!there\s)(?:is|are|was|were) no"
        " (?:agents?|bugs?|errors?|failures?|faults?|files?|numbers?|options?|runs?|settings?|tests?|values?)",
        "negate the verb: 'is not an error'",
    ),
    _phrase(r"some (?=\d)\d+", "write 'about'"),
    Rule(re.compile(r"\d[ \N{NO-BREAK SPACE}]%(?![\w(])"), "write '10%', as users type it"),
)


def findings(path: Path) -> Iterator[str]:
    """Yield one line for each place in a file that breaks a rule."""
    for text, rules in _prose(path):
        # Without indentation, so that the patterns need not know of it.
        words = re.sub(r"\n[ \t]+", "\n", text.words)
        for rule in rules:
            matches = rule.pattern.finditer(words) if rule is not NOUN_CLAUSE else [rule.pattern.match(words)]
            for match in filter(None, matches):
                line = text.line + words[: match.start()].count("\n")
                yield f"{_relative(path)}:{line}: {' '.join(match[0].split())!r}: {rule.advice}"


def _prose(path: Path) -> Iterator[tuple[Text, Sequence[Rule]]]:
    if path.suffix == ".md":
        yield Text(1, _without_code(path.read_text(encoding="utf-8"))), PHRASES
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = dict(_docstrings(tree))
    for text in docstrings.values():
        yield text, (NOUN_CLAUSE, *PHRASES)
    for text in _comments(path):
        yield text, PHRASES
    if path.is_relative_to(ROOT / "src"):
        for text in _literals(tree, docstrings):
            yield text, PHRASES


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.Constant, Text]]:
    """Yield the docstrings of modules, classes and functions, and the strings that describe an attribute."""
    for node in ast.walk(tree):
        body = getattr(node, "body", ())
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                words = statement.value.value
                if isinstance(words, str):
                    yield statement.value, Text(statement.lineno, words)


def _comments(path: Path) -> Iterator[Text]:
    """Yield the comments of a file. Comments on adjacent lines are one text, since sentences go across lines."""
    first, words = 0, list[str]()
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type != tokenize.COMMENT:
                continue
            if words and token.start[0] != first + len(words):
                yield Text(first, "\n".join(words))
                words = []
            first = first if words else token.start[0]
            words.append(token.string.lstrip("#: "))
    if words:
        yield Text(first, "\n".join(words))


def _literals(tree: ast.Module, docstrings: dict[ast.Constant, Text]) -> Iterator[Text]:
    """Yield the string literals that are not docstrings, with 0 for each value that an f-string inserts."""
    skipped = set[ast.AST](docstrings)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            yield Text(node.lineno, "".join(_part(part) for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield Text(node.lineno, node.value)


def _part(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "0"


def _without_code(text: str) -> str:
    """Return the page with code replaced by spaces, so that lines keep their numbers."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    blocks = re.sub(r"^( *)(```|~~~).*?^\1\2", blank, text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", blank, blocks)


def _files() -> Iterator[Path]:
    for folder in _FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from (ROOT / page for page in _PAGES)


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main(arguments: Sequence[str]) -> int:
    """Print the findings. Return the exit code."""
    paths = [Path(argument).resolve() for argument in arguments] or _files()
    found = [finding for path in paths for finding in findings(path)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
