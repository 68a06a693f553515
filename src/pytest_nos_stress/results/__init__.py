"""What a run measured, and what thresholds and baselines say of it."""
