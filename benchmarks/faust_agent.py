"""A bare Faust agent, for `faust_cost`: what a worker inside Faust is measured against.

    python -m benchmarks.faust_agent '{"bootstrap": ..., "group": ..., "events": ..., ...}'

It takes as many events at a time as the worker does, parses nothing, learns nothing, and publishes
for each event the offset that it stood at, through librdkafka. Faust commits on its own clock.
"""

import sys
import tempfile
from typing import Any

import faust
import orjson
from confluent_kafka import Producer

from millstream.config.sections import FaustSettings


def run(bootstrap: str, group: str, events: str, predictions: str) -> None:
    """Work until SIGTERM."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5,
                         "queue.buffering.max.messages": 1_000_000})  # fmt: skip
    same = FaustSettings()

    async def agent(stream: Any) -> None:
        async for taken in stream.take_events(same.take, within=same.within / 1000):
            for event in taken:
                message = event.message
                value = orjson.dumps({"source": {"partition": 0, "offset": message.offset}})
                producer.produce(predictions, value, message.key, 0)
            producer.poll(0)

    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        app = faust.App(
            group, broker=f"kafka://{bootstrap}", datadir=folder, store="memory://",
            web_enabled=False, topic_disable_leader=True, topic_allow_declare=False,
        )  # fmt: skip
        source = app.topic(
            events, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        app.agent(source, name="bare")(agent)
        worker = faust.Worker(app, quiet=True, redirect_stdouts=False, loglevel="WARN")
        worker.execute_from_commandline()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
