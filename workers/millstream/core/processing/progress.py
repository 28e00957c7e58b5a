"""How far inputs, stores and replays have come."""

from typing import NamedTuple

import orjson

from millstream.core.join.join import PendingPrediction
from millstream.core.records.dead_letters import our_headers
from millstream.core.records.record import InputName, Record


class InputPositions:
    """The input offsets that the outputs of a processor account for."""

    def __init__(self, events_topic: str, labels_topic: str | None) -> None:
        self._inputs: dict[str, InputName] = {events_topic: "events"}
        if labels_topic is not None:
            self._inputs[labels_topic] = "labels"
        self.next: dict[InputName, int] = {"events": 0, "labels": 0}

    def prediction(self, record: Record) -> None:
        """Apply a record of predictions."""
        if record.value is not None:
            self.saw("events", orjson.loads(record.value)["source"]["offset"])

    def dead_letter(self, record: Record) -> None:
        """Apply a record of dead letters."""
        ours = our_headers(record.headers)
        input_name = self._inputs.get(ours.get("millstream-topic", ""))
        if input_name is not None:
            self.saw(input_name, int(ours["millstream-offset"]))

    def saw(self, input_name: InputName, offset: int) -> None:
        """Note that the input at this offset was processed."""
        self.next[input_name] = max(self.next[input_name], offset + 1)


class StoreProgress(NamedTuple):
    """The part of the logs that is in a store of pending predictions.

    The store holds the state after one certain commit, which lies behind all of these offsets.
    """

    events: int = 0
    """Predictions on events below this source offset, and no others, are in it."""
    predictions: int = 0
    """The log of predictions has nothing else below this offset."""
    examples: int = 0
    """The log of examples has nothing below this offset that would change it."""


NOTHING = StoreProgress()


class ReplayedState(NamedTuple):
    """The result of a replay, besides what the join and the model hold."""

    epoch: int
    """The owner that wrote the last record that counts."""
    labels_floor: int
    """Labels below were processed before, whatever the committed offset says."""
    labels_consumed: int
    """Offset after the last label that was ever consumed."""
    predicted: dict[int, PendingPrediction]
    """At least once only: predictions whose offsets were not committed, by source offset."""
    predicted_offsets: set[int]
    """At least once only: all events that have a prediction though no offset says so. (Not all
    below the highest: a broker may accept one prediction and refuse the one before.)"""
