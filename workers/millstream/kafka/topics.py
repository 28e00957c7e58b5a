"""The topics of an app: which there are, which there have to be, how many partitions they have."""

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
# Shorter, for librdkafka's in-memory broker never answers this, and nothing stands or falls by it.
CONFIGS_TIMEOUT_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicInfo:
    """What the brokers say of a topic."""

    partitions: int
    replicas: int
    """Replicas of the partition that has the fewest."""
    configs: dict[str, str] = field(default_factory=dict)
    """Configuration in force, the brokers' defaults included; empty where it cannot be read."""


def needed_topics(settings: Settings) -> dict[str, str]:
    """Role to name of every topic that a worker with these settings reads or writes."""
    return {
        **settings.inputs,
        "predictions": settings.topic("predictions"),
        **({"examples": settings.topic("examples")} if settings.has_delayed_labels else {}),
        "models": settings.topic("models"),
        "dead-letters": settings.topic("dead_letters"),
    }


def is_replayed(settings: Settings, role: str, *, learns: bool) -> bool:
    """Whether a restore folds the topic of this role, so that it has to be kept.

    `learns`: whether the model does, which the settings alone do not say (`loading.model_learns`).
    """
    if not learns:
        return False
    if settings.has_delayed_labels:
        return role in {"predictions", "examples"}
    return role == "events"


MODELS_CONFIG: Final = {
    "cleanup.policy": "compact",
    # A restore reads all of the topic, and the brokers compact no segment that they still write to:
    # by default one of 1 GB or a week.
    "segment.bytes": str(32 * 1024 * 1024),
    "max.compaction.lag.ms": str(60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}
"""What the models topic is created with."""


def topic_ids(admin: AdminClient, names: Iterable[str]) -> dict[str, str]:
    """Topic to its id, which another topic of the same name would not have.

    Empty where the brokers do not say (librdkafka's in-memory one, and Kafka before 2.8).
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
    """Tell which of the named topics exist, and how they are; raises Stop where no broker answers.

    Never creates a topic: it asks for the list of all, which no broker takes for a wish.
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
        # Not allowed to this user, or a broker that does not know the question: who needs a value
        # has to say what happens without it.
        _log.info("cannot read a topic's configuration", extra={"error": str(error)})
        return {}
    return {name: str(entry.value) for name, entry in entries.items()}


def connect(settings: Settings) -> AdminClient:
    """Admin client that a broker has answered; else Stop with what the connection met."""
    met: list[KafkaError] = []
    config = {
        **client_config(settings),
        "error_cb": met.append,
        # It would log each of a hundred attempts; the first ones are in our own sentence.
        "log_level": 0,
    }
    try:
        admin = AdminClient(config)
    except KafkaException as error:
        raise SettingsError(f"kafka: {reason(error)}") from error
    try:
        admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        admin.poll(0)  # hands over what `error_cb` has not seen yet
        servers = str(settings.kafka.get("bootstrap.servers", ""))
        raise Stop(unreachable(no_answer(servers, met) or reason(error))) from error
    return admin


def list_topics(admin: AdminClient) -> dict[str, TopicInfo]:
    """Every topic that this user may see, without configurations."""
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
    """Sentence for a cluster that does not answer."""
    return (
        f"no Kafka broker answers ({why}): check that the brokers run, that bootstrap.servers "
        "names them, and the security settings under kafka"
    )


def reason(error: KafkaException) -> str:
    """Kafka's own words for an error; secrets in them are hidden where they are printed."""
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause)


class TopicsNotReady(Stop):
    """Needed topics are missing or unequal; the message names the command that helps."""

    def __init__(self, found: list[str], settings_file: str = "SETTINGS_FILE") -> None:
        super().__init__(
            f"{'; '.join(found)}. Create what is missing with: "
            f"millstream topics create {settings_file}"
        )
        self.found = found


def missing_or_unequal(settings: Settings, known: dict[str, TopicInfo]) -> list[str]:
    """Clauses on needed topics that are missing or have other partitions than events."""
    needed = needed_topics(settings)
    clauses = [
        f"topic {name} ({role}) does not exist, or this user may not see it"
        for role, name in needed.items()
        if name not in known
    ]
    events = known.get(needed["events"])
    clauses += [
        f"topic {name} ({role}) has {known[name].partitions} partitions, but {needed['events']} "
        f"(events) has {events.partitions}: they have to be equal"
        for role, name in needed.items()
        if events and name in known and known[name].partitions != events.partitions
    ]
    return clauses


def require_topics(settings: Settings, admin: AdminClient) -> int:
    """Partition count of events, once every topic is there with as many.

    Raises TopicsNotReady, a Stop that names what is missing and the command that creates it.
    """
    known = describe(admin, needed_topics(settings).values(), configs=False)
    found = missing_or_unequal(settings, known)
    if found:
        raise TopicsNotReady(found)
    return known[settings.events.topic].partitions
