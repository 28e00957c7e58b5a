"""The interface of every model to the worker."""
