"""The history of a partition's settings, and its other control records in the models topic.

A settings record states how events were read from an offset on, and by which model. A record of a
rebuild (`millstream rebuild`) states from which ranges of the training log the model was learned
again; no settings record before it in the topic counts any more.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from millstream.core.processing.config import SettingsVersion
from millstream.core.records import outputs
from millstream.core.records.crash_markers import CrashMarker
from millstream.core.records.record import Output, Record
from millstream.core.snapshots.manifest import is_snapshot
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec, deciding, deciding_anew
from millstream.errors import DeadLetter, Stop


class Rebuilt(BaseModel):
    """The latest rebuild of a model. Offsets are those of the training log (see the README)."""

    model_config = ConfigDict(frozen=True)

    lineage: int
    """Number of rebuilds of this partition's model, this one included."""
    log_from: int
    """Before this offset, nothing was learned."""
    log_to: int
    """The offset at which the rebuild ended and the worker continues."""
    learned: int
    """Number of examples that it had learned then."""
    skipped: tuple[tuple[int, int], ...]
    """Offset ranges (from, to; the end is excluded) that were left out."""

    def learns(self, offset: int) -> bool:
        """Whether a record of the training log below `log_to` was learned from."""
        return offset >= self.log_from and not any(a <= offset < b for a, b in self.skipped)

    def left_in(self, records: Sequence[Record]) -> list[Record]:
        """Return those records of the events that a replay applies."""
        return [each for each in records if each.offset >= self.log_to or self.learns(each.offset)]


class PartitionMetadata:
    """The control records of one partition in the models topic."""

    def __init__(self) -> None:
        self._settings: dict[int, dict[str, Any]] = {}
        self.began: int | None = None
        """The first offset of events that was processed, whatever was rebuilt; None: none was."""
        self.rebuilt: Rebuilt | None = None
        """The latest rebuild of the model; None: there was none."""
        self.topics: dict[str, Any] | None = None
        """The topics that this state belongs to; see `outputs.topics_note`."""
        self.skips: dict[tuple[str, int], DeadLetter] = {}
        self.attempt: CrashMarker | None = None
        """The crash marker that a process wrote and did not live to clear; None: none."""

    def add(self, record: Record) -> None:
        """Apply one record; snapshots, which stand in the same topic, are ignored."""
        if record.value is None or is_snapshot(record):
            return
        try:
            note = orjson.loads(record.value)
            if note["kind"] == "settings":
                self._settings[note["from"]] = note
                self.began = note["from"] if self.began is None else min(self.began, note["from"])
            elif note["kind"] == "skip":
                bad = DeadLetter(note["reason"], note["detail"])
                self.skips[note["side"], note["offset"]] = bad
            elif note["kind"] == "rebuilt":
                self._take_rebuilt(note)
            elif note["kind"] == "topics":
                self.topics = note
            elif note["kind"] == "attempt":
                attempt = CrashMarker.model_validate(note)
                self.attempt = attempt if attempt.crashes else None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
            raise _unreadable(f"a record at offset {record.offset}") from error

    def first_offset(self) -> int | None:
        """Return where the fold of events begins; None before the first result."""
        return min(self._settings, default=None)

    def _take_rebuilt(self, note: dict[str, Any]) -> None:
        self.rebuilt = Rebuilt.model_validate(note["rebuilt"])
        # Inline, all of the range is read under the settings of the rebuild. With delayed labels
        # the log is read as it was written, whatever the offset.
        inline = note["settings"]["labels"].get("from") != "topic"
        self._settings = {self.rebuilt.log_from if inline else note["from"]: note}

    def version(self, definition: str) -> str:
        """Return the version of the model of this definition, which each rebuild changes."""
        return definition if self.rebuilt is None else f"{definition}-{self.rebuilt.lineage}"

    def settings_versions(
        self, events: EventsSpec, labels: LabelsSpec, model: ModelSpec, *, partition: int,
        position: int, version: str, app: str,
    ) -> tuple[tuple[SettingsVersion, ...], list[Output]]:  # fmt: skip
        """Return the settings of each range of the log, today's at the end.

        With them comes the control record to write if today's are new. Raises `Stop` if the model
        is another one: its weights would not be the fold of this log.
        """
        today = deciding(events, labels, model)
        last = self._settings[max(self._settings)] if self._settings else None
        try:
            settings_versions = [
                SettingsVersion(start, EventsSpec.model_validate(note["settings"]["events"]),
                    LabelsSpec.model_validate(note["settings"]["labels"]))
                for start, note in sorted(self._settings.items())
            ]  # fmt: skip
            latest = deciding_anew(last["settings"]) if last else {}
        except (ValidationError, KeyError, TypeError) as error:
            raise _unreadable(f"the settings of partition {partition}") from error
        if last is None:
            return (SettingsVersion(position, events, labels),), [
                outputs.settings_note(partition, position, version, today)
            ]
        if last["version"] != version:
            raise Stop(
                f"the model of app {app} is another one than what partition {partition} was "
                f"learned with ({last['version']}, now {version}): put the old definition back; or "
                "stop the workers, and let the new model learn from the log (millstream rebuild), "
                "or begin with nothing (millstream rebuild --from end)"
            )
        # As bytes, since to Python 1 is True, and to a model it is not.
        if outputs.encode(latest) == outputs.encode(today):
            return tuple(settings_versions), []
        settings_versions = [each for each in settings_versions if each.start < position]
        settings_versions.append(SettingsVersion(position, events, labels))
        return tuple(settings_versions), [
            outputs.settings_note(partition, position, version, today)
        ]


def _unreadable(what: str) -> Stop:
    return Stop(
        f"the models topic holds {what} that this version cannot read: was it written by a newer "
        "Millstream, or by something else?"
    )
