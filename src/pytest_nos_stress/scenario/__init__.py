"""Scenario of a run, the schedule that follows from it, and the operations that tasks receive."""
