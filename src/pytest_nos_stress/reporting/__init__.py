"""A finished result for people, CI systems and other programs."""
