"""Files of a run: the log, written during the run, and JSON and record files, written after it."""
