"""What will happen in a run: the scenario, its schedule, and the operations that tasks are handed."""
