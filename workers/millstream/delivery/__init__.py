"""Publishing a batch under the chosen guarantee."""
