"""The floor: events go out as they came in. No model, no answer, nothing that anybody needs.

    python -m benchmarks.peers.pass_through '{"bootstrap": ..., "events": ..., "what": "bytes"}'

What is left is what Python, the two clients and the broker take for an event, however little is
done with it. The loop is the hand-written one, with its fetch tuned; outputs go to the partition
that their events came from, as the worker's do. `what`: "bytes" sends the event's own bytes;
"json" parses and dumps them on the way; "predictions" fills them up with blanks to the size that
predictions have, so that the broker has as much to take as from a loop with a model.
"""

import sys
import time
from collections.abc import Sequence
from typing import Literal

import orjson
from confluent_kafka import Message

from benchmarks.peers.confluent_loop import Loop
from benchmarks.peers.work import Work

BACKOFF_MS = 10


class Through:
    """Bytes in, bytes out."""

    def __init__(self, topic: str, what: Literal["bytes", "json", "predictions"]) -> None:
        self._topic, self._what = topic, what
        self._size = 0

    def many(self, messages: Sequence[Message]) -> list[bytes]:
        """What goes out for events that came together."""
        raws = [message.value() or b"" for message in messages]
        if self._what == "json":
            return [orjson.dumps(orjson.loads(raw)) for raw in raws]
        if self._what == "bytes":
            return raws
        size = self._size or self._measured(raws)
        return [raw.ljust(size) for raw in raws]

    def _measured(self, raws: Sequence[bytes]) -> int:
        """The mean size of the predictions on the first events."""
        places = range(len(raws))
        now = time.time_ns() // 1_000_000
        answers = Work(self._topic, None).many(raws, places, [now] * len(raws))
        self._size = sum(map(len, answers)) // len(answers)
        return self._size


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    what: Literal["bytes", "json", "predictions"],
    transaction_ms: int | None = None,
    model: None = None,  # noqa: ARG001 - every peer is told
) -> None:
    """Work until the process is ended."""
    loop, through = Loop(bootstrap, group, BACKOFF_MS, transaction_ms), Through(events, what)
    loop.consumer.subscribe([events])
    produce = loop.producer.produce
    while True:
        messages = loop.messages()
        if messages:
            if not loop.open:
                loop.begin()
            for message, output in zip(messages, through.many(messages), strict=True):
                produce(predictions, output, message.key(), message.partition() or 0)
        loop.producer.poll(0)
        if loop.open and time.monotonic() >= loop.due:
            loop.commit()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
