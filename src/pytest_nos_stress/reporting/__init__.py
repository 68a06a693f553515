"""Outputs of a finished run, for people, CI systems and other programs."""
