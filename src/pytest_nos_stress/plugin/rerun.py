"""How a test is run again, after its first run and before it is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pytest_nos_stress.scenario.scenario import Scenario


class Rerun(NamedTuple):
    """A repetition of a test.

    ``directory``: the part of the output directory for its files. ``scenario``: the scenario that takes the place
    of the one in the test's run ``number`` (from 1); None: the test runs as it did.
    """

    directory: str
    number: int = 0
    scenario: Scenario | None = None

    def settings(self, number: int) -> dict[str, Any]:
        """The settings that this repetition fixes for the test's run of that number."""
        if self.scenario is None or number != self.number:
            return {}
        return {"scenario": self.scenario}
