"""Publishes messages at the time of day at which a clock schedules them."""

import time
from collections import Counter
from typing import Any

from millstream.cli.producer import CommandProducer
from millstream.config.settings import Settings
from millstream.core.records.record import InputName
from millstream.sources.arrivals import ReplayClock, TimedMessage


class SendClock(ReplayClock):
    """Schedules messages by the time of day, at a rate, whatever times they carry."""

    def __init__(
        self, settings: Settings, rate: float | None = None, *, distinct: bool = False
    ) -> None:
        """`rate`: messages a second that have no time given; `distinct`: each at its own ms."""
        super().__init__(settings)
        # A clock that is set back meanwhile would stop the sending for as long.
        self._ahead = time.time() - time.monotonic()
        self._start = self.wall_ms()
        self._interval_ms = 1000 / rate if rate else 0.0
        self._distinct = distinct
        self._taken = 0
        self._scheduled: int | None = None

    def wall_ms(self) -> int:
        """The time of day, ms since 1970."""
        return int((time.monotonic() + self._ahead) * 1000)

    def wait_until(self, at: int) -> None:
        """Sleep until a time of day, ms."""
        while (left := at / 1000 - self._ahead - time.monotonic()) > 0:
            time.sleep(left)

    def timestamp(self, input_name: InputName, document: dict[str, Any]) -> int | None:  # noqa: ARG002 - what a message carries decides nothing
        """None: a message comes when it is sent."""
        return None

    def next(self, timestamp: int | None) -> int:
        """As for recorded messages; without a timestamp now, or when the rate allows it."""
        if timestamp is not None:
            return super().next(timestamp)
        if self._scheduled is None:
            earliest = 0 if self.now is None else self.now + self._distinct
            allowed = self._start + round(self._taken * self._interval_ms)
            self._scheduled = max(self.wall_ms(), allowed, earliest)
        return self._scheduled

    def take(self, timestamp: int | None) -> int:
        """As for recorded messages: what `next` has announced holds until it is taken."""
        at = super().take(timestamp)
        if timestamp is None:
            self._scheduled = None
            self._taken += 1
        return at


class MessageSender:
    """Sends each message when its time has come, and counts them."""

    def __init__(self, settings: Settings, clock: SendClock) -> None:
        self._clock = clock
        self._topics = {"events": settings.events.topic, "labels": str(settings.labels.topic)}
        self._producer = CommandProducer(settings)
        self._sent: Counter[str] = Counter()

    @property
    def events(self) -> int:
        """Events sent so far."""
        return self._sent["events"]

    @property
    def labels(self) -> int:
        """Labels sent so far."""
        return self._sent["labels"]

    def send(self, message: TimedMessage) -> None:
        """Wait until the message's time, and send it; raises Stop where the client refuses it."""
        name, key, value, at = message
        self._clock.wait_until(at)
        self._producer.send(self._topics[name], key, value, at)
        self._sent[name] += 1

    def finish(self) -> None:
        """Wait for every delivery; raises Stop where one failed."""
        self._producer.finish()
