"""Checks of the topics of an app: what would fail, or lose something, later."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka.admin import AdminClient

from millstream.runners.findings import Finding
from millstream.runners.topics import (
    TopicInfo,
    describe,
    is_replayed,
    missing_or_unequal,
    needed_topics,
)
from millstream.settings import Settings

_DAY_MS: Final = 86_400_000
_LOST_BY_COMPACTION: Final = {
    "predictions": "all but the last prediction under a key vanish",
    "examples": "all but the last example under a key vanish",
    "dead-letters": (
        "all but the last dead letter under a key vanish, and one of an event without a key is "
        "refused, which stops the worker"
    ),
}
"""Role to what is lost, also where no restore replays it."""


def check_topics(settings: Settings, admin: AdminClient, *, learns: bool) -> list[Finding]:
    """Look at existence, partition counts, retention, compaction, time stamps and replication.

    `learns`: see `is_replayed`.
    """
    needed = needed_topics(settings)
    known = describe(admin, needed.values())
    found = [
        Finding("error", "topics", f"{clause}; millstream topics create makes what is missing")
        for clause in missing_or_unequal(settings, known)
    ]
    if not found:
        count = known[needed["events"]].partitions
        noun = "partition" if count == 1 else "partitions"
        found.append(
            Finding("ok", "topics", f"all {len(needed)} are there, with {count} {noun} each")
        )
    single = [name for name in needed.values() if name in known and known[name].replicas < 2]
    if single:
        text = (
            f"{len(single)} of {len(needed)} topics have one replica, and are gone with that "
            "broker's disk (topics create --replication-factor 3)"
        )
        found.append(Finding("note", "replicas", text))
    for role, name in needed.items():
        if name in known:
            log = is_replayed(settings, role, learns=learns)
            found += _check_one(settings, role, name, known[name], log=log)
    return found


def _check_one(
    settings: Settings, role: str, name: str, info: TopicInfo, *, log: bool
) -> Iterator[Finding]:
    about = f"topic {name}"
    if not info.configs:
        yield Finding(
            "warning",
            about,
            "its configuration cannot be read, so retention and compaction stay unchecked: allow "
            "this user DescribeConfigs",
        )
        return
    compacted = "compact" in info.configs.get("cleanup.policy", "")
    if compacted and (log or role in _LOST_BY_COMPACTION):
        lost = "records that a restore has to replay vanish" if log else _LOST_BY_COMPACTION[role]
        yield Finding("error", about, f"is compacted, so {lost}: set cleanup.policy=delete")
    if role == "models" and not compacted:
        yield Finding(
            "warning",
            about,
            "is not compacted, so what a replay needs expires with its retention: set "
            "cleanup.policy=compact",
        )
    if log and not compacted:
        yield from _check_retention(settings, role, about, info)
    stamped_on_append = info.configs.get("message.timestamp.type") == "LogAppendTime"
    if stamped_on_append and settings.labels.source == "topic" and role in {"events", "labels"}:
        yield Finding(
            "warning",
            about,
            "stamps messages on arrival, so a backfill is ordered by when it was sent rather than "
            "by when it happened: map a timestamp field, or set message.timestamp.type=CreateTime",
        )


def _check_retention(
    settings: Settings, role: str, about: str, info: TopicInfo
) -> Iterator[Finding]:
    limits = []
    kept_ms = int(info.configs.get("retention.ms", "-1"))
    if kept_ms >= 0:
        limits.append(f"retention.ms={kept_ms} ({kept_ms / _DAY_MS:g} days)")
    if int(info.configs.get("retention.bytes", "-1")) >= 0:
        limits.append(f"retention.bytes={info.configs['retention.bytes']}")
    if not limits:
        return
    limit = " and ".join(limits)
    wait = settings.labels.wait or 0
    if role == "predictions" and 0 <= kept_ms < wait:
        yield Finding(
            "error",
            about,
            f"is kept by {limit}, less than labels.wait ({wait / _DAY_MS:g} days): predictions "
            "would be gone before their labels come; set retention.ms=-1",
        )
        return
    remedy = (
        "set retention.ms=-1, or keep it for as long as the model is to be rebuilt from it"
        if role == "events"
        else "set retention.ms=-1"
    )
    yield Finding(
        "warning",
        about,
        f"is kept by {limit}, but replay will need it: what the model learned from records that "
        f"are gone is lost at the next restore; {remedy}",
    )
