"""Snapshots of a model: storing, finding and verifying them."""
