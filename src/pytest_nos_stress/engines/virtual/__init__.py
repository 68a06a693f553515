"""The virtual engine, which runs one agent at a time in virtual time."""
