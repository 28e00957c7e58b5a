"""Bytewax, as its documentation has it: a dataflow from Kafka to Kafka, without recovery.

    python -m benchmarks.peers.bytewax_flow '{"bootstrap": ..., "group": ..., "events": ..., ...}'

`flat_map_batch` gets what one poll returned, so that a static model is called once for it.
"""

import sys
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.peers.work import Work


def run(
    bootstrap: str,
    group: str,  # noqa: ARG001 - it has none
    events: str,
    predictions: str,
    model: str | None = None,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model)

    def answer(messages: list[Any]) -> Iterable[Any]:
        answers = work.many(
            [message.value for message in messages],
            [message.offset for message in messages],
            [message.timestamp[1] for message in messages],
        )
        return [
            KafkaSinkMessage(message.key, value)
            for message, value in zip(messages, answers, strict=True)
        ]

    flow = Dataflow("predict")
    source = kafka.input("events", flow, brokers=[bootstrap], topics=[events])
    answered = op.flat_map_batch("answer", source.oks, answer)
    kafka.output("predictions", answered, brokers=[bootstrap], topic=predictions)
    cli_main(flow)


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
