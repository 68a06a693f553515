"""A repetition of a test, between its first execution and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pytest_nos_stress.scenario.scenario import Scenario


class Rerun(NamedTuple):
    """A repetition of a test.

    ``directory``: the subdirectory of the test's output directory for the repetition's files. ``scenario``: the
    scenario for the test's run ``number`` (from 1), instead of the original one; if None, the test is repeated
    unchanged.
    """

    directory: str
    number: int = 0
    scenario: Scenario | None = None

    def settings(self, number: int) -> dict[str, Any]:
        """Return the settings that this repetition sets for the test's n-th run."""
        if self.scenario is None or number != self.number:
            return {}
        return {"scenario": self.scenario}
