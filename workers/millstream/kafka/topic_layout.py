"""The topics that an app needs, and checks that they exist with equal partition counts."""

from typing import Final

from confluent_kafka.admin import AdminClient

from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.kafka.admin import TopicInfo, describe


def needed_topics(settings: Settings) -> dict[str, str]:
    """Map each role to its topic, of all that a worker with these settings reads or writes."""
    return {
        **settings.inputs,
        "predictions": settings.topic("predictions"),
        **({"examples": settings.topic("examples")} if settings.has_delayed_labels else {}),
        "models": settings.topic("models"),
        "dead-letters": settings.topic("dead_letters"),
    }


def is_replayed(settings: Settings, role: str, *, learns: bool) -> bool:
    """Return True if a restore replays the topic of this role, so that it must be retained.

    `learns`: whether the model learns, which the settings alone do not say
    (`artifacts.loader.model_learns`).
    """
    if not learns:
        return False
    if settings.has_delayed_labels:
        return role in {"predictions", "examples"}
    return role == "events"


MODELS_CONFIG: Final = {
    "cleanup.policy": "compact",
    # A restore reads all of the topic, and brokers never compact the segment that they write to,
    # which by default grows to 1 GB or for a week.
    "segment.bytes": str(32 * 1024 * 1024),
    "max.compaction.lag.ms": str(60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}
"""The configuration that the models topic is created with."""


class TopicsNotReady(Stop):
    """Needed topics are missing or have unequal partition counts; the message says what to do."""

    def __init__(self, found: list[str], settings_file: str = "SETTINGS_FILE") -> None:
        super().__init__(
            f"{'; '.join(found)}. Create what is missing with: "
            f"millstream topics create {settings_file}"
        )
        self.found = found


def missing_or_unequal(settings: Settings, known: dict[str, TopicInfo]) -> list[str]:
    """List needed topics that are missing or whose partition count is not that of events."""
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
    """Return the partition count of events, which every needed topic has.

    Raises TopicsNotReady otherwise.
    """
    known = describe(admin, needed_topics(settings).values(), configs=False)
    found = missing_or_unequal(settings, known)
    if found:
        raise TopicsNotReady(found)
    return known[settings.events.topic].partitions
