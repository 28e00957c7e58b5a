"""Kafka clients: configuration, admin, reading and producing."""
