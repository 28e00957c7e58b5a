"""The admin client: connecting, topics and their configurations, and errors as sentences."""

import logging
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource

from millstream.config.settings import Settings
from millstream.errors import SettingsError, Stop
from millstream.kafka.client_config import client_config
from millstream.kafka.connection_errors import no_answer

ADMIN_TIMEOUT_SECONDS: Final = 10.0
"""Of a command's questions to the brokers."""
BROKER_TIMEOUT_SECONDS: Final = 10.0
"""Of a worker's."""
# Shorter: librdkafka's in-memory broker never answers this, and nobody depends on the answer.
CONFIGS_TIMEOUT_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicInfo:
    """A topic as the brokers describe it."""

    partitions: int
    replicas: int
    """Replicas of the partition that has the fewest."""
    configs: dict[str, str] = field(default_factory=dict)
    """Configuration in force, the brokers' defaults included; empty where it cannot be read."""


def topic_ids(admin: AdminClient, names: Iterable[str]) -> dict[str, str]:
    """Map each topic to its id, which a later topic of the same name does not have.

    Empty where the brokers give no ids (librdkafka's in-memory one, and Kafka before 2.8).
    """
    wanted = TopicCollection(list(names))
    ids: dict[str, str] = {}
    try:
        answers = admin.describe_topics(wanted, request_timeout=CONFIGS_TIMEOUT_SECONDS)
        for name, answer in answers.items():
            topic_id = answer.result().topic_id
            if topic_id is not None and str(topic_id).strip("A="):
                ids[name] = str(topic_id)
    except KafkaException as error:
        _log.info("topic ids are not known", extra={"reason": error.args[0].name()})
    return ids


def describe(
    admin: AdminClient, names: Iterable[str], *, configs: bool = True
) -> dict[str, TopicInfo]:
    """Describe those of the named topics that exist; raises Stop where no broker answers.

    It lists all topics, which never triggers auto-creation.
    """
    known = list_topics(admin)
    found = {name: known[name] for name in names if name in known}
    if not (configs and found):
        return found
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in found]
    answers = admin.describe_configs(wanted, request_timeout=CONFIGS_TIMEOUT_SECONDS)
    return {
        resource.name: replace(found[resource.name], configs=_configs_of(answer))
        for resource, answer in answers.items()
    }


def _configs_of(answer: "Future[dict[str, ConfigEntry]]") -> dict[str, str]:
    try:
        entries = answer.result(timeout=2 * CONFIGS_TIMEOUT_SECONDS)
    except (KafkaException, TimeoutError) as error:
        # This user may not read it, or the broker does not know the request: the caller decides
        # what a missing value means.
        _log.info("cannot read a topic's configuration", extra={"error": str(error)})
        return {}
    return {name: str(entry.value) for name, entry in entries.items()}


def connect(settings: Settings) -> AdminClient:
    """Make an admin client that a broker has answered; raises Stop with the connection errors."""
    met: list[KafkaError] = []
    config = {
        **client_config(settings),
        "error_cb": met.append,
        # It would log each of a hundred attempts; our own sentence has the first ones.
        "log_level": 0,
    }
    try:
        admin = AdminClient(config)
    except KafkaException as error:
        raise SettingsError(f"kafka: {reason(error)}") from error
    try:
        admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        admin.poll(0)  # delivers the remaining errors to `error_cb`
        servers = str(settings.kafka.get("bootstrap.servers", ""))
        raise Stop(unreachable(no_answer(servers, met) or reason(error))) from error
    return admin


def list_topics(admin: AdminClient) -> dict[str, TopicInfo]:
    """Describe every topic that this user may see, without configurations."""
    try:
        metadata = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise Stop(unreachable(reason(error))) from error
    return {
        name: TopicInfo(
            len(topic.partitions), min(len(p.replicas) for p in topic.partitions.values())
        )
        for name, topic in metadata.topics.items()
        if topic.partitions
    }


def unreachable(why: str) -> str:
    """Compose the sentence for a cluster that does not answer."""
    return (
        f"no Kafka broker answers ({why}): check that the brokers run, that bootstrap.servers "
        "names them, and the security settings under kafka"
    )


def reason(error: KafkaException) -> str:
    """Return Kafka's own text of an error; whoever prints it hides the secrets in it."""
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
