"""What the models topic says of one partition, besides snapshots.

A note of settings says how events were read from an offset on, and by which model. A note of a
rebuild (`millstream rebuild`) says of which stretch of the training log the model was made anew;
no note of settings before it in the topic counts any more.
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
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec, deciding
from millstream.errors import DeadLetter, Stop


class Rebuilt(BaseModel):
    """Of what a model was made anew. Offsets are those of the training log (see the README)."""

    model_config = ConfigDict(frozen=True)

    lineage: int
    """How often this partition's model was made anew, this time included."""
    log_from: int
    """Before this offset, nothing was learned."""
    log_to: int
    """The offset at which the rebuild ended, and the worker goes on."""
    learned: int
    """How many examples it had learned then."""
    skipped: tuple[tuple[int, int], ...]
    """Stretches (from, to; the end is not part of it) that were left out."""

    def learns(self, offset: int) -> bool:
        """Whether a record of the training log below `log_to` was learned from."""
        return offset >= self.log_from and not any(a <= offset < b for a, b in self.skipped)

    def left_in(self, records: Sequence[Record]) -> list[Record]:
        """Those records of the events that a replay takes."""
        return [each for each in records if each.offset >= self.log_to or self.learns(each.offset)]


class PartitionMetadata:
    """What the models topic says of one partition."""

    def __init__(self) -> None:
        self._settings: dict[int, dict[str, Any]] = {}
        self.began: int | None = None
        """Where the app began in events, whatever a rebuild made of that; None: it never did."""
        self.rebuilt: Rebuilt | None = None
        """Of what the model was last made anew; None: it never was."""
        self.topics: dict[str, Any] | None = None
        """Which topics these were, and how many partitions: see `outputs.topics_note`."""
        self.skips: dict[tuple[str, int], DeadLetter] = {}
        self.attempt: CrashMarker | None = None
        """What a process had begun that did not live to take it back; None: nothing."""

    def add(self, record: Record) -> None:
        """Take in one record; snapshots, which stand beside the notes, are not for here."""
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
        """Where the fold of events begins; None before the first outcome of all."""
        return min(self._settings, default=None)

    def _take_rebuilt(self, note: dict[str, Any]) -> None:
        self.rebuilt = Rebuilt.model_validate(note["rebuilt"])
        # Inline, all of the stretch is read under the settings of the rebuild. With late labels the
        # log is read as it was written; from where on says nothing then.
        inline = note["settings"]["labels"]["from"] != "topic"
        self._settings = {self.rebuilt.log_from if inline else note["from"]: note}

    def version(self, definition: str) -> str:
        """Version of the model of this definition, which a rebuild makes another one."""
        return definition if self.rebuilt is None else f"{definition}-{self.rebuilt.lineage}"

    def settings_versions(
        self, events: EventsSpec, labels: LabelsSpec, model: ModelSpec, *, partition: int,
        position: int, version: str, app: str,
    ) -> tuple[tuple[SettingsVersion, ...], list[Output]]:  # fmt: skip
        """The settings under which each stretch of the log was worked off, and today's at the end.

        Returns them with the note that has to be written if today's are new. Raises `Stop` where
        the model is another one: its weights would not be the fold of this log.
        """
        today = deciding(events, labels, model)
        try:
            settings_versions = [
                SettingsVersion(start, EventsSpec.model_validate(note["settings"]["events"]),
                    LabelsSpec.model_validate(note["settings"]["labels"]))
                for start, note in sorted(self._settings.items())
            ]  # fmt: skip
        except (ValidationError, KeyError, TypeError) as error:
            raise _unreadable(f"the settings of partition {partition}") from error
        if not settings_versions:
            return (SettingsVersion(position, events, labels),), [
                outputs.settings_note(partition, position, version, today)
            ]
        last = self._settings[max(self._settings)]
        if last["version"] != version:
            raise Stop(
                f"the model of app {app} is another one than what partition {partition} was "
                f"learned with ({last['version']}, now {version}): put the old definition back; or "
                "stop the workers, and let the new model learn from the log (millstream rebuild), "
                "or begin with nothing (millstream rebuild --from end)"
            )
        # As bytes, since to Python 1 is True, and to a model it is not.
        if outputs.encode(last["settings"]) == outputs.encode(today):
            return tuple(settings_versions), []
        settings_versions = [era for era in settings_versions if era.start < position]
        settings_versions.append(SettingsVersion(position, events, labels))
        return tuple(settings_versions), [
            outputs.settings_note(partition, position, version, today)
        ]


def _unreadable(what: str) -> Stop:
    return Stop(
        f"the models topic holds {what} that this version cannot read: was it written by a newer "
        "Millstream, or by something else?"
    )
