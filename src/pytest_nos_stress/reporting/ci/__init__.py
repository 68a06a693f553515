"""Output for CI systems: GitHub's step summary and annotations, OpenMetrics, and a benchmark file.

Each function turns the summaries of a session's runs into text. Nothing here imports pytest.
"""
