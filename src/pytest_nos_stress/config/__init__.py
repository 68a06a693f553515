"""Where settings come from: the table of options, text to values, and the order in which sources are merged."""
