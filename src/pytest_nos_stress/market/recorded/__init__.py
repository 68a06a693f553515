"""Recorded prices, and the readers of their files."""
