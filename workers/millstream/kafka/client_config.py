"""Configurations of the Kafka clients: what the guarantees own, and what is the user's."""

import logging
import socket
from collections.abc import Callable
from typing import Any

from millstream.config.settings import Settings

# The design's session: long enough for a pause of the machine, short enough that the partitions
# of a killed worker move within seconds (librdkafka's default of 45 s means as long a silence).
SESSION_TIMEOUT_MS = 10_000

# How often a client says how it is; to put that into words takes it a fraction of a millisecond.
STATISTICS_MS = 10_000

# They mean something to the member of the group alone; the other clients would warn of them.
GROUP_PROPERTIES = {
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "group.protocol",
    "group.instance.id",
    "group.remote.assignor",
}

_client_log = logging.getLogger("millstream.librdkafka")


def client_config(settings: Settings) -> dict[str, Any]:
    """Connection properties of every client of this app: the user's, as they are."""
    return {**settings.kafka, "logger": _client_log}


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The consumer of events and labels, a member of the app's group."""
    classic = settings.kafka.get("group.protocol", "classic") == "classic"
    return {
        # librdkafka waits a second after a full local queue before it fetches again; 10 ms
        # tripled the rate of a plain pass-through.
        "fetch.queue.backoff.ms": 10,
        # What is asked of a broker that went silent fails sooner than after librdkafka's minute.
        # Not so a commit of offsets, which lasts as long as the silence, whatever this is.
        "socket.timeout.ms": 15_000,
        **({"session.timeout.ms": SESSION_TIMEOUT_MS} if classic else {}),
        **({"partition.assignment.strategy": "cooperative-sticky"} if classic else {}),
        **client_config(settings),
        "group.id": settings.app,
        "client.id": f"{settings.app}-{socket.gethostname()}",
        **owned_by_the_guarantee(),
    }


def reader_config(settings: Settings) -> dict[str, Any]:
    """A consumer outside of the group, that reads a shard's own logs when it is restored."""
    return {
        "fetch.queue.backoff.ms": 10,
        # The end of a log is only known from a fetch that finds nothing; do not let it wait.
        "fetch.wait.max.ms": 10,
        **{k: v for k, v in client_config(settings).items() if k not in GROUP_PROPERTIES},
        # Never joined and never committed to: only librdkafka wants a name.
        "group.id": f"{settings.app}-restore",
        **owned_by_the_guarantee(),
    }


def owned_by_the_guarantee() -> dict[str, Any]:
    """What no user may change, because a promise stands on it."""
    return {
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # A position is always named; one that is out of range is reported, never moved silently.
        "auto.offset.reset": "error",
    }


TakeStatistics = Callable[[str], None]


def with_statistics(config: dict[str, Any], take: TakeStatistics) -> dict[str, Any]:
    """Let a client hand its statistics to `take`, whenever it is polled; see `metrics_clients`."""
    return {"statistics.interval.ms": STATISTICS_MS, **config, "stats_cb": take}


def session_timeout_ms(settings: Settings) -> int:
    """How long a worker may be silent before the group gives its partitions away."""
    return int(settings.kafka.get("session.timeout.ms", SESSION_TIMEOUT_MS))


def producer_config(settings: Settings, transactional_id: str | None) -> dict[str, Any]:
    """The producer of all outputs; transactional where an id is given."""
    transactional = {
        "transactional.id": transactional_id,
        # The broker may still be ending the transaction before (CONCURRENT_TRANSACTIONS); with
        # librdkafka's 100 ms a batch would wait that long for what takes a millisecond or two.
        "retry.backoff.ms": settings.kafka.get("retry.backoff.ms", 1),
        # Never above the session timeout: a worker that was put out of the group must not come
        # back with a transaction that is still open.
        "transaction.timeout.ms": session_timeout_ms(settings),
    }
    return {
        # The worker flushes or commits after each batch: waiting for more would only add delay.
        "linger.ms": 5,
        "queue.buffering.max.messages": 1_000_000,
        **{k: v for k, v in client_config(settings).items() if k not in GROUP_PROPERTIES},
        "enable.idempotence": True,
        **(transactional if transactional_id else {}),
    }
