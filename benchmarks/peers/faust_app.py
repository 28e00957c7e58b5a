"""Faust, an agent as its documentation writes it: one event at a time, or with `take`.

    python -m benchmarks.peers.faust_app '{"bootstrap": ..., "group": ..., "events": ..., ...}'

`take`: how many events it takes at a time, within 100 ms; without, it goes through them one by one.
Faust commits on its own clock: at least once.
"""

import sys
import tempfile
from typing import Any

import faust
import orjson

from benchmarks.peers.work import Work

WITHIN_SECONDS = 0.1


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    model: str | None = None,
    take: int | None = None,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model)
    raw: dict[str, Any] = {
        "key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw",
    }  # fmt: skip

    async def one_by_one(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            value = work.one(event.value, message.offset, int(message.timestamp * 1000))
            await target.send(key=event.key, value=value)

    async def batches(stream: Any) -> None:
        async for taken in stream.take_events(take, within=WITHIN_SECONDS):
            answers = work.many(
                [event.value for event in taken],
                [event.message.offset for event in taken],
                [int(event.message.timestamp * 1000) for event in taken],
            )
            for event, value in zip(taken, answers, strict=True):
                await target.send(key=event.key, value=value)

    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        app = faust.App(
            group, broker=f"kafka://{bootstrap}", datadir=folder, store="memory://",
            web_enabled=False, topic_disable_leader=True, topic_allow_declare=False,
        )  # fmt: skip
        target = app.topic(predictions, **raw)
        agent = batches if take else one_by_one
        app.agent(app.topic(events, **raw), name="predict")(agent)
        worker = faust.Worker(app, quiet=True, redirect_stdouts=False, loglevel="WARN")
        worker.execute_from_commandline()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
