"""River's models."""
