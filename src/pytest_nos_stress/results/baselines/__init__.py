"""Baselines: what is kept of a run in the repository, and how a later run is compared with it."""
