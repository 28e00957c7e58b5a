"""Recorded data: files, River data sets, and their order in time."""
