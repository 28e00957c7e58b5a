"""Metrics of the Kafka clients, from librdkafka's statistics.

librdkafka reports them as JSON, every `statistics.interval.ms`; parsing that is all they cost.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Client = Literal["consumer", "producer"]
Latest = Mapping[Client, Mapping[str, Any]]
Row = tuple[tuple[str, ...], float]
"""Label values, and the value."""

_QUANTILES: Final = {"0.5": "p50", "0.99": "p99"}
_FAILURES: Final = {
    "timeout": ("req_timeouts",),
    "error": ("txerrs", "rxerrs"),
    "retry": ("txretries",),
}
_OF_A_BROKER: Final = ["client", "broker"]


class ClientStats(Collector):
    """The latest statistics of the worker's consumer and producer."""

    def __init__(self) -> None:
        self._latest: Latest = {}

    def take(self, client: Client, statistics: str) -> None:
        """Replace the statistics of a client."""
        # Replaced as one object: a scrape from another thread sees one moment.
        self._latest = {**self._latest, client: orjson.loads(statistics)}

    def collect(self) -> Iterable[Metric]:
        """Answer a scrape; before the first statistics, metrics have no samples."""
        latest = self._latest
        yield from self._of_brokers(latest)
        yield from self._of_queues(latest)
        yield from self._of_states(latest)

    def _of_brokers(self, latest: Latest) -> Iterator[Metric]:
        brokers = [
            ((client, broker["name"]), broker)
            for client, each in latest.items()
            for broker in each["brokers"].values()
            if broker["source"] != "internal"
        ]
        yield _gauge(
            "round_trip_seconds",
            "From a request to its answer, within the last interval, by quantile. A consumer's "
            "fetches wait for records, so up to half a second is nothing bad there.",
            [*_OF_A_BROKER, "quantile"],
            (
                ((*labels, quantile), broker["rtt"][key] / 1e6)
                for labels, broker in brokers
                if broker["rtt"]["cnt"]
                for quantile, key in _QUANTILES.items()
            ),
        )
        yield _gauge(
            "throttle_seconds",
            "For how long a broker made the client wait, because of a quota; on average.",
            _OF_A_BROKER,
            ((labels, broker["throttle"]["avg"] / 1e3) for labels, broker in brokers),
        )
        yield _gauge(
            "connected",
            "1 where there is a connection to the broker.",
            _OF_A_BROKER,
            ((labels, float(broker["state"] == "UP")) for labels, broker in brokers),
        )
        yield _counter(
            "requests_failed",
            "Requests that timed out, met an error, or were sent again.",
            [*_OF_A_BROKER, "why"],
            (
                ((*labels, why), sum(broker[key] for key in keys))
                for labels, broker in brokers
                for why, keys in _FAILURES.items()
            ),
        )

    def _of_queues(self, latest: Latest) -> Iterator[Metric]:
        queues = {client: _queue(client, each) for client, each in latest.items()}
        yield _gauge(
            "queue_messages",
            "Messages in the client: of a consumer, fetched and not yet taken; of a producer, not "
            "yet acknowledged.",
            ["client"],
            (((client,), messages) for client, (messages, _) in queues.items()),
        )
        yield _gauge(
            "queue_bytes",
            "Bytes of the messages in the client.",
            ["client"],
            (((client,), size) for client, (_, size) in queues.items()),
        )
        yield _counter(
            "network_bytes",
            "Bytes sent to and received from brokers.",
            ["client", "direction"],
            (
                ((client, direction), each[key])
                for client, each in latest.items()
                for direction, key in (("sent", "tx_bytes"), ("received", "rx_bytes"))
            ),
        )

    def _of_states(self, latest: Latest) -> Iterator[Metric]:
        producer = latest.get("producer", {}).get("eos", {})
        group = latest.get("consumer", {}).get("cgrp", {})
        yield _gauge(
            "transaction_state",
            "1 for the state that the transactional producer is in.",
            ["state"],
            [((producer["txn_state"],), 1)] if "txn_state" in producer else [],
        )
        yield _gauge(
            "group_state",
            "1 for the state that the consumer's membership in the group is in.",
            ["state"],
            [((group["join_state"],), 1)] if "join_state" in group else [],
        )
        yield _counter(
            "rebalances",
            "Rebalances of the group that the consumer took part in.",
            [],
            [((), group["rebalance_cnt"])] if "rebalance_cnt" in group else [],
        )
        yield _gauge(
            "rebalance_age_seconds",
            "How long ago the last of them was.",
            [],
            [((), group["rebalance_age"] / 1e3)] if "rebalance_age" in group else [],
        )


def _queue(client: Client, latest: Mapping[str, Any]) -> tuple[int, int]:
    """Messages and bytes queued in a client."""
    if client == "producer":
        return latest["msg_cnt"], latest["msg_size"]
    partitions = [
        partition
        for topic in latest["topics"].values()
        for partition in topic["partitions"].values()
    ]
    return sum(p["fetchq_cnt"] for p in partitions), sum(p["fetchq_size"] for p in partitions)


def _gauge(name: str, meaning: str, labels: list[str], rows: Iterable[Row]) -> Metric:
    return _filled(GaugeMetricFamily(f"millstream_client_{name}", meaning, labels=labels), rows)


def _counter(name: str, meaning: str, labels: list[str], rows: Iterable[Row]) -> Metric:
    return _filled(CounterMetricFamily(f"millstream_client_{name}", meaning, labels=labels), rows)


def _filled(family: Any, rows: Iterable[Row]) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family  # type: ignore[no-any-return] # the two kinds share no typed add_metric
