"""Baselines: figures of earlier runs, kept in the repository, and the comparison of a later run with them."""
