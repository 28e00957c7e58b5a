"""The messages that users write: bytes to events and labels."""
