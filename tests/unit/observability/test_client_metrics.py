"""What is shown of librdkafka's statistics, as two real clients hand them over."""

import pytest
from confluent_kafka import Consumer, Producer

from millstream.kafka.client_config import with_statistics
from millstream.observability.metrics import Metrics
from tests.support.kafka.cluster import Kafka, wait_until

PREFIX = "millstream_client_"
FAST = {"statistics.interval.ms": 100}


def samples(metrics: Metrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Name of a metric without its prefix to the labels and values of its samples."""
    return {
        family.name.removeprefix(PREFIX): [(s.labels, s.value) for s in family.samples]
        for family in metrics.registry.collect()
        if family.name.startswith(PREFIX)
    }


def test_before_the_first_statistics_there_are_metrics_without_samples() -> None:
    found = samples(Metrics())
    assert "round_trip_seconds" in found
    assert not any(found.values())


def test_statistics_of_a_client_without_a_broker_show_that_there_is_none() -> None:
    metrics = Metrics()
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **FAST}
    producer = Producer(with_statistics(config, lambda x: metrics.clients.take("producer", x)))
    wait_until(lambda: producer.poll(0.1) or samples(metrics)["connected"])
    producer.produce("nowhere", b"x" * 100)

    def waits() -> bool:
        producer.poll(0.1)
        return ({"client": "producer"}, 1.0) in samples(metrics)["queue_messages"]

    wait_until(waits, message="a message is seen to wait")
    assert {value for _, value in samples(metrics)["connected"]} == {0.0}
    assert samples(metrics)["round_trip_seconds"] == []
    producer.purge()


@pytest.mark.kafka
def test_statistics_of_real_clients_fill_every_metric(kafka: Kafka) -> None:
    metrics, topic = Metrics(), kafka.unique("statistics")
    kafka.create_topics(topic)
    take = metrics.clients.take
    consumer = Consumer(
        with_statistics({**kafka.config, "group.id": topic, **FAST}, lambda x: take("consumer", x))
    )
    producer = Producer(
        with_statistics(
            {**kafka.config, "transactional.id": topic, **FAST}, lambda x: take("producer", x)
        )
    )
    # A transaction is open, and a member of the group, while the statistics are made.
    consumer.subscribe([topic])
    try:
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"x")

        def all_filled() -> bool:
            consumer.poll(0.1)
            producer.poll(0.1)
            found = samples(metrics)
            # Statistics of the time before wait in the queue, and come first.
            return (
                all(found.values())
                and ({"state": "steady"}, 1.0) in found["group_state"]
                and found["transaction_state"] == [({"state": "InTransaction"}, 1.0)]
            )

        wait_until(all_filled, timeout=60, message="every metric has samples")
        found = samples(metrics)
        rounds = [value for _, value in found["round_trip_seconds"]]
        assert rounds
        assert all(0 < value < 60 for value in rounds)
        assert {labels["quantile"] for labels, _ in found["round_trip_seconds"]} == {"0.5", "0.99"}
        assert {labels["direction"] for labels, value in found["network_bytes"] if value} == {
            "sent",
            "received",
        }
        producer.abort_transaction()
    finally:
        consumer.close()


def test_the_users_interval_counts_and_0_switches_statistics_off() -> None:
    assert with_statistics({}, print)["statistics.interval.ms"] == 10_000
    assert with_statistics({"statistics.interval.ms": "0"}, print)["statistics.interval.ms"] == "0"
