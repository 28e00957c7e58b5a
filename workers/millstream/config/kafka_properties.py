"""Properties of librdkafka: those owned by the guarantees, and secrets."""

from typing import Final

_OFFSETS = "offsets are committed together with the outputs"
_PRODUCER = "outputs have to be complete, in order and there once"

OWNED: Final[dict[str, str]] = {
    "group.id": "the app's name is the group; set app",
    "enable.auto.commit": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "auto.offset.reset": "a position is never guessed; where a new app begins says events.start",
    "isolation.level": "records of aborted transactions must not be seen",
    "enable.partition.eof": "the end of a partition decides the order of events and labels",
    "partition.assignment.strategy": "labels have to come with the events of their partition",
    "group.remote.assignor": "labels have to come with the events of their partition",
    "transactional.id": "it is made of the app and the worker's slot; set instance",
    "transaction.timeout.ms": "it follows session.timeout.ms",
    "enable.idempotence": _PRODUCER,
    "acks": _PRODUCER,
    "request.required.acks": _PRODUCER,
    "retries": _PRODUCER,
    "message.send.max.retries": _PRODUCER,
    "max.in.flight": _PRODUCER,
    "max.in.flight.requests.per.connection": _PRODUCER,
    "enable.gapless.guarantee": _PRODUCER,
    "partitioner": "an output goes to the partition of its event",
    "delivery.report.only.error": _PRODUCER,
    "consume.callback.max.messages": "the worker polls by itself",
}
"""Property to the guarantee that needs it; a user cannot set it."""

SECRET_WORDS: Final = (
    "password",
    "passphrase",
    "secret",
    ".pem",
    "sasl.oauthbearer.config",
    "sasl.jaas.config",
)
HIDDEN: Final = "(hidden)"


def is_secret(name: str) -> bool:
    """Whether a property's value must not be seen."""
    return any(word in name for word in SECRET_WORDS)


WHOLE_NUMBERS: Final = ("session.timeout.ms", "message.max.bytes")
"""Properties that the worker computes with."""


def is_of_python(name: str) -> bool:
    """Whether a property is one of confluent-kafka's own whose value is a function or an object."""
    return name.endswith("_cb") or name in {"logger", "on_commit", "on_delivery"}
