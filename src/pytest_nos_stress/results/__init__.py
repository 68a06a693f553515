"""Results of a run: records, statistics, and the verdicts of thresholds, checks and baselines."""
