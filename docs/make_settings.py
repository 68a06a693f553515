"""Writes the settings' tables in README.md and docs/settings.md from the settings table of the package.

    python docs/make_settings.py

A test fails where the pages are not what this writes.
"""

from __future__ import annotations

from pathlib import Path

from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS, Setting

ROOT = Path(__file__).resolve().parent.parent
_START, _END = "<!-- options -->\n", "<!-- /options -->"


def readme(text: str) -> str:
    """README.md with the short table."""
    before, rest = text.split(_START)
    _, after = rest.split(_END)
    rows = [
        f"| `{one.flag}` | `{one.ini}` | {keyword} | {_default(one)} |\n"
        for settings in (SETTINGS, SESSION_SETTINGS)
        for one in settings
        if one.flag
        for keyword in [f"`{one.name}`" if settings is SETTINGS else "(the whole session's)"]
    ]
    # A comment between a table's head and its rows would end the table, so both stand between the marks.
    head = "| option | ini key | marker and `run()` | default |\n|---|---|---|---|\n"
    return f"{before}{_START}{head}{''.join(rows)}{_END}{after}"


def reference() -> str:
    """docs/settings.md."""
    parts = [
        "# Settings\n\n",
        "A setting comes from the first that has it: `run(...)`, command line, marker, ini file, default. ",
        "Thresholds add up from all.\n`--stress` is the one option without an ini key: it runs stress tests.\n",
    ]
    for one in (*SETTINGS, *SESSION_SETTINGS):
        parts.append(f"\n## {one.name}\n\n{one.help[0].upper()}{one.help[1:]}.\n\n")
        if one.flag:
            parts.append(
                f"- option: `{one.flag}{'=' + one.metavar if one.metavar else ''}`\n- ini key: `{one.ini}`\n"
            )
        where = "`run()`" if one.name == "gate" else "marker, `run()` and the library"
        is_of_session = one in SESSION_SETTINGS
        parts.append("- of the whole session\n" if is_of_session else f"- keyword of {where}: `{one.name}`\n")
        parts.append(f"- allowed: {one.type.allowed}\n- default: {_default(one)}\n")
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
