"""Check of an app's topics, for settings that would fail or lose records later."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka.admin import AdminClient

from millstream.checks.finding import Finding
from millstream.config.settings import Settings
from millstream.kafka.admin import TopicInfo, describe
from millstream.kafka.topic_layout import (
    MODELS_CONFIG,
    is_replayed,
    missing_or_unequal,
    needed_topics,
)

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 1_440 * _MINUTE_MS
_SLOW: Final = {"max.compaction.lag.ms": _DAY_MS, "segment.bytes": 2**28}
"""Limits above which a restore reads more than necessary."""
_LOST_BY_COMPACTION: Final = {
    "predictions": "all but the last prediction under a key vanish",
    "examples": "all but the last example under a key vanish",
    "dead-letters": (
        "all but the last dead letter under a key vanish, and one of an event without a key is "
        "refused, which stops the worker"
    ),
}
"""Role to what compaction destroys, even if no restore replays it."""


def check_topics(settings: Settings, admin: AdminClient, *, learns: bool) -> list[Finding]:
    """Check existence, partition counts, retention, compaction, timestamps and replication.

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
            found += _check_one(settings, role, name, known[name], log=log, learns=learns)
    return found


def _check_one(
    settings: Settings, role: str, name: str, info: TopicInfo, *, log: bool, learns: bool
) -> Iterator[Finding]:
    about = f"topic {name}"
    log_of_snapshots = learns and settings.snapshots.enabled and settings.snapshots.store is None
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
    if role == "models" and compacted and log_of_snapshots:
        yield from _check_compaction(about, info)
    if log and not compacted:
        yield from _check_retention(settings, role, about, info)
    stamped_on_append = info.configs.get("message.timestamp.type") == "LogAppendTime"
    if stamped_on_append and settings.has_delayed_labels and role in {"events", "labels"}:
        yield Finding(
            "warning",
            about,
            "stamps messages on arrival, so a backfill is ordered by when it was sent rather than "
            "by when it happened: map a timestamp field, or set message.timestamp.type=CreateTime",
        )


def _check_compaction(about: str, info: TopicInfo) -> Iterator[Finding]:
    """Warn if old snapshots stay for long: a restore reads all of them."""
    slow = [
        f"{name}={info.configs[name]}"
        for name in ("max.compaction.lag.ms", "segment.bytes")
        if int(info.configs.get(name, 0)) > _SLOW[name]
    ]
    if slow:
        wanted = ", ".join(f"{name}={value}" for name, value in MODELS_CONFIG.items())
        yield Finding(
            "warning",
            about,
            f"keeps old snapshots for long ({', '.join(slow)}), and a restore reads them all: set "
            f"{wanted}",
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
    needed_ms, words = _needed(settings, role)
    if 0 <= kept_ms < needed_ms:
        yield Finding(
            "error",
            about,
            f"is kept by {limit}, less than {words}: a restore would stop for what is gone; set "
            "retention.ms=-1",
        )
        return
    remedy = (
        "set retention.ms=-1, or keep it for as long as the model is to be rebuilt from it"
        if role == "events"
        else "set retention.ms=-1"
    )
    when = (
        "by a restore that can use no snapshot (lost, or of another version of a library), and "
        "by a rebuild"
        if settings.snapshots.enabled
        else "by each restore"
    )
    yield Finding(
        "warning",
        about,
        f"is kept by {limit}, but all of it is needed {when}: what the model learned from records "
        f"that are gone is lost to it; {remedy}",
    )


def _needed(settings: Settings, role: str) -> tuple[int, str]:
    """Return for how long a restore from a snapshot needs a log, in ms and in words.

    Pending predictions, and ids completed within a wait, are read again from the logs, from a
    replay point before the last snapshot but one.
    """
    needed, words = 0, []
    wait = settings.labels.wait or 0
    if role in {"predictions", "examples"}:
        needed += wait
        words.append(f"labels.wait ({wait / _DAY_MS:g} days)")
    if settings.snapshots.enabled:
        needed += 2 * settings.snapshots.every
        words.append(f"twice snapshots.every ({settings.snapshots.every / _MINUTE_MS:g} minutes)")
    return needed, " and ".join(words)
