"""What moves bytes between brokers and the core."""
