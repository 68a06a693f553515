"""The virtual engine: one agent at a time, in virtual time."""
