"""Policy for logs that have lost records: by retention, by hand, with their topic."""

import logging

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.errors import Stop

log = logging.getLogger(__name__)


class LogGaps:
    """The policy of `recovery.lost_log` for one partition."""

    def __init__(self, settings: Settings, partition: int) -> None:
        self._settings = settings
        self._partition = partition

    def check_start(self, topic: str, start: int, low: int, what: str) -> None:
        """Stop or warn because `what` needs a log from `start` on, and it begins at `low`.

        Raises `Stop` unless `recovery.lost_log` is `continue`.
        """
        sentence = (
            f"{topic} partition {self._partition} begins at offset {low}, but {what} needs it from "
            f"offset {start} on, and what lies between is gone"
        )
        if self._settings.recovery.lost_log == "stop":
            raise Stop(
                f"{sentence}: give the topic a longer retention.ms; to go on with what there is, "
                "set recovery.lost_log: continue, or give the app a new name to start afresh"
            )
        log.warning(sentence)

    def position(self, topic: str, position: int, low: int, high: int) -> int:
        """The offset to continue from in an input that reaches from `low` to `high`.

        Raises `Stop` where `position` lies outside, unless the settings allow a later start.
        """
        if position < low:
            gone = (
                f"{topic} partition {self._partition} begins at offset {low}, but this app has "
                f"only come to offset {position}: the {low - position} records between are gone by "
                "the topic's retention"
            )
            if self._settings.recovery.lost_log == "stop":
                raise Stop(f"{gone}; to go on without them, set recovery.lost_log: continue")
            log.warning(gone)
            position = low
        if position > high:
            raise Stop(
                f"{topic} partition {self._partition} ends at offset {high}, but this app has come "
                f"to offset {position}: was the topic deleted and made again? Give the app a new "
                "name to start afresh"
            )
        return position

    def warn_of_cut(self, topic: str, first: Record, gone: int, now: int) -> None:
        """Warn if predictions may be gone that were pending; older ones had expired.

        `first`: the first one left; `gone`: number of offsets before it that are lost; `now`: ms.
        """
        if gone and now - first.timestamp < (self._settings.labels.wait or 0):
            log.warning(
                "predictions that may have waited for their labels are gone: their topic begins "
                "with one that is younger than labels.wait; give it a longer retention",
                extra={"topic": topic, "partition": self._partition, "begins_at": first.offset},
            )
