"""The note that a search under ``@given`` could not show a race, for all its examples together."""

from __future__ import annotations

from pytest_nos_stress.reporting.summary import no_overlap_note, with_note, without_note
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.summary_types import Summary


class OverlapOfExamples:
    """Decides if a search could show a race. One example in which operations overlapped is enough."""

    def __init__(self) -> None:
        self._has_overlapped = False
        self._note = ""

    def add(self, result: StressResult) -> None:
        """Add the run of an example."""
        self._has_overlapped = self._has_overlapped or result.stats["operations_overlapped"]
        self._note = no_overlap_note(result) or self._note

    def applied_to(self, summary: Summary) -> Summary:
        """Return the summary of the last example, with the note about the search."""
        if not self._note:
            return summary
        return without_note(summary, self._note) if self._has_overlapped else with_note(summary, self._note)
