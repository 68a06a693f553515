"""Write a scenario as a test to paste: a copy of the test that produced it, with the scenario in its marker."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS, Scenario

_INDENT = "    "


def pasteable_test(item: pytest.Item, scenario: Scenario) -> list[str]:
    """Return a heading, and the Python source of a copy of this test that performs the scenario.

    Empty if the test passes a scenario to ``run()`` itself, or if its source cannot be read.
    """
    owner = getattr(item, "cls", None)
    source = _source(item, scenario)
    if not source:
        return []
    imports = "import pytest\n\nfrom pytest_nos_stress import Scenario\n\n\n"
    if owner is None:
        return ["as a test to paste:", "", imports + source]
    required_imports = "(with `import pytest` and `from pytest_nos_stress import Scenario`)"
    heading = f"as a test to paste into class {owner.__name__} {required_imports}:"
    return [heading, "", textwrap.indent(source, _INDENT)]


def _source(item: pytest.Item, scenario: Scenario) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(item.obj)))  # type: ignore[attr-defined]
        function = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, AttributeError):
        return ""
    if not isinstance(function, ast.FunctionDef) or function.name != getattr(item, "originalname", None):
        return ""
    if any(isinstance(node, ast.keyword) and node.arg == "scenario" for node in _in_body(function)):
        return ""
    lines = source.splitlines()
    other_decorators: list[str] = []
    settings: list[str] = []
    for decorator in function.decorator_list:
        if _is_stress_marker(decorator):
            settings += _settings_of_marker(decorator)
        else:
            other_decorators += _decorator(lines, decorator)
    definition = lines[function.lineno - 1].replace(f"def {function.name}", f"def {function.name}_smallest", 1)
    body = lines[function.lineno :]
    return "\n".join([_marker(scenario, settings), *other_decorators, definition, *body])


def _in_body(function: ast.FunctionDef) -> list[ast.AST]:
    return [node for statement in function.body for node in ast.walk(statement)]


def _decorator(lines: list[str], node: ast.expr) -> list[str]:
    first, *others = lines[node.lineno - 1 : node.end_lineno]
    return [f"@{first[node.col_offset :]}", *others]


def _is_stress_marker(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr == "stress"


def _settings_of_marker(decorator: ast.expr) -> list[str]:
    """Return the marker's keywords that are not part of a scenario."""
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return [
        f"{keyword.arg}={ast.unparse(keyword.value)}"
        for keyword in keywords
        if keyword.arg is not None and keyword.arg not in (*SCENARIO_OPTIONS, "scenario")
    ]


def _marker(scenario: Scenario, settings: list[str]) -> str:
    arguments = scenario.arguments
    operations = arguments.pop("operations")
    rows = [f"{_INDENT * 3}{row!r}," for row in operations]
    others = [f"{_INDENT * 2}{name}={value!r}," for name, value in arguments.items()]
    return "\n".join(
        [
            "@pytest.mark.stress(",
            f"{_INDENT}scenario=Scenario(",
            f"{_INDENT * 2}operations=[",
            *rows,
            f"{_INDENT * 2}],",
            *others,
            f"{_INDENT}),",
            *(f"{_INDENT}{setting}," for setting in settings),
            ")",
        ]
    )
