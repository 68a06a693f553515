"""Recorded prices and their files."""
