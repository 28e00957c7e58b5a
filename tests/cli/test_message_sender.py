"""Messages that are sent are scheduled by the time of day, and labels follow their events."""

from itertools import pairwise
from typing import Any

import orjson
import pytest

from millstream.cli.message_sender import SendClock
from millstream.config.settings import Settings, make_settings
from millstream.sources.arrivals import DelayedLabels, TimedMessage
from millstream.sources.event_mapping import EventMapper
from millstream.sources.readers import Row
from tests.cli.conftest import delayed

A_HUNDRED_SECONDS = 100_000


@pytest.fixture
def settings() -> Settings:
    return make_settings(delayed("a"))


def schedule(
    settings: Settings, clock: SendClock, events: int = 4, **when: int
) -> list[TimedMessage]:
    rows = (
        Row({"site": {"id": n}, "verdict": {"phishing": True}}, None, flat=False)
        for n in range(events)
    )
    return list(DelayedLabels(EventMapper(settings), clock, **when).messages(rows))


def order(messages: list[TimedMessage]) -> list[tuple[str, Any]]:
    return [(name, orjson.loads(key)) for name, key, _, _ in messages]


def test_events_are_spread_by_their_rate(settings: Settings) -> None:
    times = [message.at for message in schedule(settings, SendClock(settings, 0.01))]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[1:] == [A_HUNDRED_SECONDS] * 2


def test_a_label_that_is_due_before_the_next_event_comes_before_it(settings: Settings) -> None:
    messages = schedule(settings, SendClock(settings, 0.01), 2, delay=30_000)
    assert order(messages) == [("events", 0), ("labels", 0), ("events", 1), ("labels", 1)]
    assert [later.at - event.at for event, later in (messages[:2], messages[2:])] == [30_000] * 2


def test_labels_by_count_have_the_time_of_a_later_event(settings: Settings) -> None:
    messages = schedule(settings, SendClock(settings, distinct=True), after=2)
    assert order(messages) == [
        ("events", 0), ("events", 1), ("labels", 0), ("events", 2), ("labels", 1), ("events", 3),
        ("labels", 2), ("labels", 3),
    ]  # fmt: skip
    times = {(name, orjson.loads(key)): at for name, key, _, at in messages}
    assert times["labels", 0] == times["events", 2]
    assert times["labels", 1] == times["events", 3]
    ordered = [times["events", n] for n in range(4)] + [times["labels", n] for n in (2, 3)]
    assert ordered == sorted(set(ordered))
