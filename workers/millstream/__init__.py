"""Millstream: predictions on Kafka events by models that keep learning, exactly once."""

__version__ = "0.1.0"
