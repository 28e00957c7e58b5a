"""Checks behind `millstream check`."""
