"""Fixtures that every test can ask for."""

from collections.abc import Iterator

import pytest

from tests.kafka.cluster import Kafka
from tests.kafka.fixture import session_kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on a real Kafka, so that `-m "not kafka"` leaves it out."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Give a real Kafka: see tests/kafka/README.md."""
    yield from session_kafka()
