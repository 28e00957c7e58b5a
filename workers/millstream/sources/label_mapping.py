"""Maps a row of a source to a message of the labels topic, without its event."""

from typing import Any, Final, NamedTuple

from millstream.config.settings import Settings
from millstream.core.formats.json_fields import MISSING
from millstream.errors import Stop
from millstream.sources.event_mapping import EventMapper, get, key_of, nested, paths_by_column, put
from millstream.sources.readers import INTEGERS, Row

_NOTHING: Final = (MISSING, None)


class MappedLabel(NamedTuple):
    """A message for the labels topic."""

    key: bytes
    value: dict[str, Any]


class LabelMapper:
    """Maps fields to the paths in section `labels` of the settings."""

    def __init__(self, settings: Settings, key: str | None = None, first_id: int = 1) -> None:
        """`key`: path of the field to use as message key, the id if None.

        `first_id`: number of the first record of a data set of River's, which has no ids.
        """
        self._settings = settings
        self._key = key
        self._records = 0
        self.unlabelled = 0
        """Rows without a label so far."""
        self._id = settings.labels.id_path(settings.events)
        self._label = settings.labels.label_path
        self._paths = paths_by_column([self._id, self._label, settings.labels.timestamp])
        self._events = EventMapper(settings, key, first_id)

    def is_id(self, column: str) -> bool:
        """Whether a column holds the id, or the key."""
        return self._paths.get(column, column) in {self._id, self._key}

    def message(self, row: Row, now_ms: int) -> MappedLabel | None:
        """Message of a row, with the time `now_ms` where the settings map one and the row has none.

        None where the row has no label; raises Stop where it has no id or key.
        """
        self._records += 1
        if row.label is not None:
            message = self._events.message(row)
            key, value = message.key, message.label or {}
        else:
            value = nested(row.fields, self._paths) if row.flat else row.fields
            if get(value, self._label) in _NOTHING:
                self.unlabelled += 1
                return None
            key = self._key_of(value)
        path = self._settings.labels.timestamp
        if path and get(value, path) in _NOTHING:
            self._events.stamp_label(value, now_ms)
        return MappedLabel(key, value)

    def _key_of(self, value: dict[str, Any]) -> bytes:
        """Key of a label, whose id becomes text where JSON's readers would round it."""
        identity = get(value, self._id)
        if identity in _NOTHING:
            raise Stop(
                f"record {self._records} has no value at {self._id}: a label needs the id of its "
                "event"
            )
        if type(identity) is int and identity not in INTEGERS:
            identity = str(identity)
            put(value, self._id, identity)
        key = get(value, self._key) if self._key else identity
        if key in _NOTHING:
            raise Stop(
                f"record {self._records} has no value at {self._key}, which is to be its key"
            )
        return key_of(key)
