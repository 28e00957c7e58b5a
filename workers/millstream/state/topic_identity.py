"""Detection of topics that were deleted and made again, or given more partitions."""

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
    """Compare the topics with the control record of a partition about them.

    `noted`: that record, None before the first; `partitions`: of the events today; `ids`: topic to
    id, as the brokers say, empty where they do not; `logs`: the topics that count, events first.
    Returns the control record that has to be written, if any. Raises `Stop` where a topic was made
    again, or has another number of partitions.
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
