"""The main runner, on confluent-kafka."""
