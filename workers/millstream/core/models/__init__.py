"""Models: one protocol, and what meets it."""
