"""One run in progress: agents, recorder, checks and the evaluation at its end."""
