"""Fixtures of the tests that take their brokers away."""

from collections.abc import Iterator

import pytest

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.fixture import LocalKafka, local_kafka


@pytest.fixture(scope="module")
def own_cluster(kafka: Kafka) -> Iterator[LocalKafka]:
    """A cluster that no other test is on; asks for the shared one only for its skip or failure."""
    del kafka
    with local_kafka() as cluster:
        yield cluster
