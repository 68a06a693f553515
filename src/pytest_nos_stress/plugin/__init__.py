"""The only package that knows pytest: hooks, fixtures, markers and session files."""
