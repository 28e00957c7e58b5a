"""The commands of `millstream`, one per file."""
