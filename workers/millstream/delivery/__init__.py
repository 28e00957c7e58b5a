"""Publishing of batches under the chosen guarantee."""
