"""What every model offers to the worker."""
