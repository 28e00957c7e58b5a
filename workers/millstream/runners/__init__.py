"""Runners: what moves bytes between a transport and the core."""
