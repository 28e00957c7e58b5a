"""The clusters that faults need, each started when the first fault asks for it."""

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.faults.proxy import Proxy
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.fixture import LocalKafka, local_kafka

Needs = Literal["any", "one", "three"]
"""`any` cluster, which stays whole; `one` broker or `three`, to be killed and to be cut off."""


@dataclass
class Cluster:
    """A cluster, and what faults do to it."""

    kafka: Kafka
    """On the listener that no proxy touches."""
    local: LocalKafka | None = None
    proxy: Proxy | None = None
    """Before the only broker; nothing passes it unless a worker is told its address."""

    @property
    def broker(self) -> LocalKafka:
        """The brokers, to be killed; fails where the cluster is not ours."""
        assert self.local is not None, "this fault needs a cluster of its own"
        return self.local

    @property
    def network(self) -> Proxy:
        """The proxy before the broker."""
        assert self.proxy is not None, "this fault needs a proxy"
        return self.proxy


class Clusters:
    """As a context manager: what was started is stopped at the end."""

    def __init__(self, given: Kafka | None = None) -> None:
        """`given`: a cluster for faults that leave it whole; None: one that is started here."""
        self._stack = ExitStack()
        self._known: dict[Needs, Cluster] = {}
        if given is None and "KAFKA_BOOTSTRAP_SERVERS" in os.environ:
            given = Kafka(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
        if given is not None:
            self._known["any"] = Cluster(given)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __getitem__(self, needs: Needs) -> Cluster:
        """The cluster of a kind, started now if it was not."""
        if needs not in self._known:
            self._known[needs] = self._three() if needs == "three" else self._one()
            if needs == "one":
                self._known.setdefault("any", self._known[needs])
            elif needs == "any":
                self._known["one"] = self._known[needs]
        return self._known[needs]

    def _one(self) -> Cluster:
        port = free_port()
        local = self._stack.enter_context(local_kafka("--advertise-port", str(port)))
        host, upstream = local.env["KAFKA_PROXIED_UPSTREAMS"].split(":")
        proxy = self._stack.enter_context(Proxy(port, (host, int(upstream))))
        return Cluster(Kafka(local.env["KAFKA_BOOTSTRAP_SERVERS"]), local, proxy)

    def _three(self) -> Cluster:
        local = self._stack.enter_context(local_kafka("--brokers", "3"))
        return Cluster(Kafka(local.env["KAFKA_BOOTSTRAP_SERVERS"]), local)


def free_port() -> int:
    """A port of this host that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
