"""FastStream on confluent-kafka, as its documentation has it: a subscriber, batched or single.

    python -m benchmarks.peers.faststream_app '{"bootstrap": ..., "group": ..., "events": ..., ...}'

FastStream parses the JSON. Its default acknowledges first: at most once.
"""

import asyncio
import sys
from typing import Any

import orjson
from faststream import FastStream
from faststream.confluent import KafkaBroker, KafkaPublishMessage, KafkaResponse
from faststream.confluent.annotations import KafkaMessage

from benchmarks.peers.work import Work

BATCH = 1000
"""`max_records`, of which the default is ten."""


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    *,
    batch: bool,
    model: str | None = None,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model).on
    broker = KafkaBroker(bootstrap, logger=None)
    common: dict[str, Any] = {"group_id": group, "auto_offset_reset": "earliest"}

    if batch:

        @broker.subscriber(events, batch=True, max_records=BATCH, **common)  # type: ignore[untyped-decorator] # not installed where this is checked
        async def answer_batch(bodies: list[dict[str, Any]], message: KafkaMessage) -> None:
            raws = message.raw_message
            answers = work.documents(
                bodies, [raw.offset() for raw in raws], [raw.timestamp()[1] for raw in raws]
            )
            outputs = [
                KafkaPublishMessage(orjson.dumps(answer), key=raw.key())
                for answer, raw in zip(answers, raws, strict=True)
            ]
            await broker.publish_batch(*outputs, topic=predictions)

    else:

        @broker.subscriber(events, **common)  # type: ignore[untyped-decorator] # not installed where this is checked
        @broker.publisher(predictions)  # type: ignore[untyped-decorator] # not installed where this is checked
        async def answer(body: dict[str, Any], message: KafkaMessage) -> Any:
            raw = message.raw_message
            document = work.document(body, raw.offset(), raw.timestamp()[1])
            return KafkaResponse(orjson.dumps(document), key=raw.key())

    asyncio.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
