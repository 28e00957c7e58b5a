"""Builds single messages from the values that a program has."""

from collections.abc import Mapping
from typing import Any

from millstream.config.arguments import to_time
from millstream.config.settings import Settings
from millstream.core.formats.codec import Codecs, decoder
from millstream.core.records.record import InputName
from millstream.errors import DeadLetter, SettingsError
from millstream.sources.arrivals import ReplayClock, TimedMessage, require_json
from millstream.sources.event_mapping import EventMapper, encode, get, key_of, put
from millstream.sources.readers import INTEGERS, own_fields

Key = bytes | str | int


class MessageBuilder:
    """Builds messages of events and labels, and advances a clock to the time of each."""

    def __init__(self, settings: Settings, clock: ReplayClock, codecs: Codecs) -> None:
        self._settings, self._clock = settings, clock
        self._decode = {
            "events": decoder(settings.events.codec, codecs),
            "labels": decoder(settings.labels.codec, codecs),
        }

    def event(
        self, event: Mapping[str, Any] | bytes, key: Key | None, at: int | None, first_id: int
    ) -> TimedMessage:
        """An event's message; `first_id`: its id if it has none. Arguments as `Memory.predict`."""
        at, clock = to_time(at), self._clock
        if isinstance(event, bytes):
            value, document = event, self._document("events", event)
            own_key = self._id_as_key("events", document)
        else:
            require_json(self._settings, "events")
            mapper = EventMapper(self._settings, first_id=first_id)
            message = mapper.as_it_is(own_fields(event))
            document, own_key = message.event, message.key
            at = clock.next(clock.timestamp("events", document)) if at is None else at
            mapper.stamp(message, at)
            value = encode(document)
        at = clock.take(clock.timestamp("events", document) if at is None else at)
        return TimedMessage("events", own_key if key is None else key_of(key), value, at)

    def label(
        self, identity: str | int, label: Any, key: Key | None, at: int | None
    ) -> TimedMessage:
        """The message of a label. Arguments as `Memory.label`."""
        require_json(self._settings, "labels")
        labels = self._settings.labels
        at = to_time(at)
        if type(identity) is int and identity not in INTEGERS:
            identity = str(identity)  # as in events
        document: dict[str, Any] = {}
        put(document, labels.id_path(self._settings.events), identity)
        put(document, labels.label_path, label)
        at = self._clock.next(at)
        EventMapper(self._settings).stamp_label(document, at)
        return self.label_message(encode(document), identity if key is None else key, at)

    def label_message(self, value: bytes | None, key: Key | None, at: int | None) -> TimedMessage:
        """A message of the labels topic as it is; None is a tombstone."""
        if self._settings.labels.source != "topic":
            raise SettingsError(
                f"labels.from is {self._settings.labels.source} in these settings: a label of its "
                "own only means something with labels.from: topic"
            )
        at, clock = to_time(at), self._clock
        document = self._document("labels", value)
        at = clock.take(clock.timestamp("labels", document) if at is None else at)
        own_key = self._id_as_key("labels", document) if key is None else key_of(key)
        return TimedMessage("labels", own_key, value, at)

    def _document(self, input_name: InputName, value: bytes | None) -> dict[str, Any]:
        """The fields of a message; none where it cannot be read."""
        try:
            return self._decode[input_name](value or b"")
        except DeadLetter:
            return {}

    def _id_as_key(self, input_name: InputName, document: dict[str, Any]) -> bytes:
        """The id in a message as its key; none where it is no id."""
        events, labels = self._settings.events, self._settings.labels
        path = events.id if input_name == "events" else labels.id_path(events)
        identity = get(document, path) if path else None
        return key_of(identity) if type(identity) in (int, str) else b""
