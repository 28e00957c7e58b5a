"""Models: one protocol, and the libraries behind it."""
