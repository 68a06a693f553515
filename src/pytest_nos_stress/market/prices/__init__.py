"""Models of prices."""
