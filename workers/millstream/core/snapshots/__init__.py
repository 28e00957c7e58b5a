"""Snapshots: envelope, chunks, manifest, verification."""
