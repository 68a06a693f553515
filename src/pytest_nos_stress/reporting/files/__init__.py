"""The files a run writes: the log while it goes on, the JSON files when it has ended."""
