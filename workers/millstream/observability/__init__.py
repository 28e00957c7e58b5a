"""Metrics, health, logs and traces."""
