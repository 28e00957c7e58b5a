"""Scores of `millstream evaluate`."""
