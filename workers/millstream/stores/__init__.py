"""Where snapshots live, and predictions that wait, when memory and the models topic are not it."""
