"""Many runs of one test: shrinking, determinism, Hypothesis strategies."""
