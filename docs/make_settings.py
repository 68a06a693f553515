"""Write the options in README.md and the page docs/settings.md from the package's table of settings.

    python docs/make_settings.py

A test fails if the pages differ from what this program writes.
"""

from __future__ import annotations

from pathlib import Path

from pytest_nos_stress.config import Setting
from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS

ROOT = Path(__file__).resolve().parent.parent
_FIRST_OPTIONS = (
    "--stress-agents",
    "--stress-operations",
    "--stress-duration",
    "--missing-data-prob",
    "--failure-prob",
    "--stress-seed",
    "--stress-engine",
    "--stress-threshold",
    "--stress-report",
)
"""Options in README's table, after ``--stress``. README links to the others."""
_START, _END = "<!-- options -->\n", "<!-- /options -->"


def readme(text: str) -> str:
    """Return README.md with the table of the options that people start with."""
    before, rest = text.split(_START)
    _, after = rest.split(_END)
    settings = {setting.flag: setting for setting in SETTINGS}
    rows = [_readme_row(settings[flag]) for flag in _FIRST_OPTIONS]
    # A comment between a table's head and its rows would end the table, so the head is inside the comments too.
    head = "| option | meaning | ini key | marker and `run()` | default |\n|---|---|---|---|---|\n"
    return f"{before}{_START}{head}| `--stress` | run stress tests | | | off |\n{''.join(rows)}{_END}{after}"


def _readme_row(setting: Setting) -> str:
    return f"| `{setting.flag}` | {setting.help} | `{setting.ini}` | `{setting.name}` | {_default(setting)} |\n"


def reference() -> str:
    """Return docs/settings.md."""
    parts = [
        "# Settings\n\n",
        "Look up an option, its ini key, its keyword and the values it takes. Precedence, highest first:\n",
        "`run()`, command line, marker, ini file, default. Thresholds from all of them apply.\n\n",
        "Three options have no ini key: `--stress` runs stress tests, `--stress-shrink` [reduces a\n",
        "failure](finding-failures.md#shrink-any-failure), and `--stress-verify-determinism` [runs each test\n",
        "twice](virtual-time.md#is-it-deterministic).\n",
    ]
    for setting in (*SETTINGS, *SESSION_SETTINGS):
        parts.append(f"\n## {setting.name}\n\n{setting.help[0].upper()}{setting.help[1:]}.\n\n")
        if setting.flag:
            value = f"={setting.metavar}" if setting.metavar else ""
            parts.append(f"- option: `{setting.flag}{value}`\n- ini key: `{setting.ini}`\n")
        where = "`run()`" if setting.name == "gate" else "marker, `run()` and the library"
        is_of_session = setting in SESSION_SETTINGS
        parts.append(
            "- for the whole session: no marker or keyword\n"
            if is_of_session
            else f"- keyword of {where}: `{setting.name}`\n"
        )
        parts.append(f"- allowed: {setting.type.allowed}\n- default: {_default(setting)}\n")
    return "".join(parts)


def _default(setting: Setting) -> str:
    default = setting.default
    if setting.name == "seed":
        return "drawn"
    if setting.name == "tasks":
        return "the four, or the target's"
    if default is None or default == ():
        return "none"
    if default is False:
        return "off"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    return f"`{default}`"


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(readme(page.read_text()))
    (ROOT / "docs" / "settings.md").write_text(reference())
