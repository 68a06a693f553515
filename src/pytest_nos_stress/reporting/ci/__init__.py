"""What CI systems read of a session's runs: GitHub's step summary and annotations, OpenMetrics, a benchmark file.

Each function takes the summaries of the runs and gives text; nothing here knows pytest.
"""
