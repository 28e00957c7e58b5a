"""Whether the topics are still those that a partition's state belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.core.records.outputs import topics_note
from millstream.core.records.record import Output
from millstream.errors import Stop


def topics_changed(
    noted: Mapping[str, Any] | None,
    partition: int,
    partitions: int,
    ids: Mapping[str, str],
    logs: Sequence[str],
    app: str,
) -> list[Output]:
    """Compare the note of a partition's topics with what they are today.

    `partitions`: how many the events have; `ids`: topic to id, as the brokers say, empty where they
    do not; `logs`: the topics that count. Returns the note that has to be written, if any.
    Raises `Stop` where a topic is another one, or has grown.
    """
    today = {topic: ids[topic] for topic in logs if topic in ids}
    if noted is None:
        return [topics_note(partition, partitions, today)] if today else []
    if partitions != noted["partitions"]:
        raise Stop(
            f"{logs[0]} had {noted['partitions']} partitions when app {app} learned from it, and "
            f"has {partitions} now, so that keys come to other partitions than their past: give "
            "the app a new name to start afresh, or take the new layout as it is by stopping the "
            "workers and running millstream rebuild"
        )
    for topic, topic_id in today.items():
        if noted["ids"].get(topic, topic_id) != topic_id:
            raise Stop(
                f"{topic} was deleted and made again since app {app} worked with it, and what "
                f"partition {partition} learned belongs to the old one: give the app a new name to "
                "start afresh, or begin with what is there by stopping the workers and running "
                "millstream rebuild"
            )
    return []
