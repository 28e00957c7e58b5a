"""The pure part: bytes in, bytes out; no Kafka, clock, disk, network or environment."""
