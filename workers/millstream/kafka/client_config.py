"""Configurations of the Kafka clients: the user's properties below those of the guarantee."""

import logging
import socket
from collections.abc import Callable
from typing import Any

from millstream.config.settings import Settings

# Long enough for a pause of the machine, short enough that the partitions of a killed worker move
# within seconds; with librdkafka's default of 45 s they would stand still as long.
SESSION_TIMEOUT_MS = 10_000

# Between two statistics of a client; each costs it a fraction of a millisecond.
STATISTICS_MS = 10_000

# Only a member of the group knows them; the other clients would warn of them.
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
    """Return the user's properties, which every client of this app gets."""
    return {**settings.kafka, "logger": _client_log}


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Configure the consumer of events and labels, a member of the app's group."""
    classic = settings.kafka.get("group.protocol", "classic") == "classic"
    return {
        # librdkafka waits a second after a full local queue before it fetches again; 10 ms
        # tripled the rate of a plain pass-through.
        "fetch.queue.backoff.ms": 10,
        # Requests to a silent broker fail sooner than after librdkafka's minute. A commit of
        # offsets does not: it lasts as long as the silence, whatever this is.
        "socket.timeout.ms": 15_000,
        **({"session.timeout.ms": SESSION_TIMEOUT_MS} if classic else {}),
        **({"partition.assignment.strategy": "cooperative-sticky"} if classic else {}),
        **client_config(settings),
        "group.id": settings.app,
        "client.id": f"{settings.app}-{socket.gethostname()}",
        **owned_by_the_guarantee(),
    }


def reader_config(settings: Settings) -> dict[str, Any]:
    """Configure a consumer outside of the group, which reads logs for restores and commands."""
    return {
        "fetch.queue.backoff.ms": 10,
        # Only an empty fetch reveals the end of a log; let it return at once.
        "fetch.wait.max.ms": 10,
        **{k: v for k, v in client_config(settings).items() if k not in GROUP_PROPERTIES},
        # Never joined and never committed to; librdkafka requires one.
        "group.id": f"{settings.app}-restore",
        **owned_by_the_guarantee(),
    }


def owned_by_the_guarantee() -> dict[str, Any]:
    """Return the consumer properties that users cannot change: the guarantee rests on them."""
    return {
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # Positions are always explicit; one out of range is an error, never moved silently.
        "auto.offset.reset": "error",
    }


TakeStatistics = Callable[[str], None]


def with_statistics(config: dict[str, Any], take: TakeStatistics) -> dict[str, Any]:
    """Let a client give its statistics (JSON) to `take` when polled; see `client_metrics`."""
    return {"statistics.interval.ms": STATISTICS_MS, **config, "stats_cb": take}


def session_timeout_ms(settings: Settings) -> int:
    """Return the silence (ms) after which the group reassigns a worker's partitions."""
    return int(settings.kafka.get("session.timeout.ms", SESSION_TIMEOUT_MS))


def producer_config(settings: Settings, transactional_id: str | None) -> dict[str, Any]:
    """Configure the producer of all outputs, transactional if an id is given."""
    transactional = {
        "transactional.id": transactional_id,
        # The broker may still be ending the previous transaction (CONCURRENT_TRANSACTIONS), which
        # takes a millisecond or two; with librdkafka's 100 ms a batch would wait that long.
        "retry.backoff.ms": settings.kafka.get("retry.backoff.ms", 1),
        # Never above the session timeout: a worker that the group has removed must not come back
        # with its transaction still open.
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
