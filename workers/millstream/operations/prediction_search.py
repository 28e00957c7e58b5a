"""Search for predictions in their topic, the newest first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from millstream.config.settings import Settings
from millstream.core.records.audit import RecordedPrediction
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import read_offset_range
from millstream.kafka.watermarks import Watermarks

WINDOW: Final = 50_000
"""Offsets read at a time, backwards from the end of the log."""


@dataclass(slots=True)
class WantedPrediction:
    """Selection of predictions."""

    ids: set[str] = field(default_factory=set)
    """As text: ids are compared as text."""
    sources: Mapping[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Partition to half-open offset ranges of its events."""
    every: bool = False
    """All predictions of an id instead of the newest."""


class PredictionSearch:
    """Searches the predictions topic of an app."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._settings = settings
        self._topic = settings.topic("predictions")
        bounds = Watermarks(reader_config(settings))
        self._bounds = {p: bounds.patiently(self._topic, p) for p in range(partitions)}

    def find(self, wanted: WantedPrediction) -> list[RecordedPrediction]:
        """Return the wanted predictions, ordered by partition and offset. Raises `Stop`."""
        found: dict[tuple[int, int], RecordedPrediction] = {}
        for partition, offset_ranges in wanted.sources.items():
            for each in self._of_events(partition, offset_ranges):
                found[each.partition, each.offset] = each
        for each in self._of_ids(wanted) if wanted.ids else ():
            found[each.partition, each.offset] = each
        return [found[place] for place in sorted(found)]

    def _of_events(
        self, partition: int, offset_ranges: list[tuple[int, int]]
    ) -> list[RecordedPrediction]:
        """Return the newest prediction of each event; at least once, there may be several."""
        lowest = min(start for start, _ in offset_ranges)
        newest: dict[int, RecordedPrediction] = {}
        for window in self._windows(partition):
            for each in window:
                if any(start <= each.source < end for start, end in offset_ranges):
                    known = newest.get(each.source)
                    if known is None or known.offset < each.offset:
                        newest[each.source] = each
            # Predictions are in the order of their events, except for those repeated after a crash:
            # they come later in the log, so they have been read already.
            if any(each.source < lowest for each in window):
                break
        return list(newest.values())

    def _of_ids(self, wanted: WantedPrediction) -> list[RecordedPrediction]:
        found: list[RecordedPrediction] = []
        missing = set(wanted.ids)
        readers = [self._windows(partition) for partition in self._bounds]
        while readers and (missing or wanted.every):
            for reader in list(readers):
                window = next(reader, None)
                if window is None:
                    readers.remove(reader)
                    continue
                hits = [each for each in window if str(each.id) in wanted.ids]
                found += hits
                missing -= {str(each.id) for each in hits}
        if wanted.every:
            return found
        newest: dict[str, RecordedPrediction] = {}
        for each in found:
            known = newest.get(str(each.id))
            if known is None or (known.predicted_at, known.offset) < (
                each.predicted_at, each.offset,
            ):  # fmt: skip
                newest[str(each.id)] = each
        return list(newest.values())

    def _windows(self, partition: int) -> Iterator[list[RecordedPrediction]]:
        low, end = self._bounds[partition]
        while end > low:
            start = max(low, end - WINDOW)
            window = []
            for records in read_offset_range(self._settings, self._topic, partition, start, end):
                for record in records:
                    each = RecordedPrediction.read(partition, record)
                    if each is not None:
                        window.append(each)
            yield window
            end = start
