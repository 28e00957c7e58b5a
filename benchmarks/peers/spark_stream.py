"""Spark Structured Streaming, as its documentation has it: from Kafka to Kafka, with a checkpoint.

    python -m benchmarks.peers.spark_stream '{"bootstrap": ..., "group": ..., "events": ..., ...}'

A fitted model is called in `mapInArrow`, for whole Arrow batches. One that learns lives on the
driver, which `foreachBatch` hands each micro-batch: the only place that sees all events in turn.
`trigger_events`: the most that a micro-batch takes. At least once, as Spark's Kafka sink is.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.peers.work import Work

JARS = Path(sys.prefix) / "jars"
SETTINGS = {
    "spark.jars": ",".join(str(path) for path in JARS.glob("*.jar")),
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    trigger_events: int,
    folder: str,
    model: str | None = None,
) -> None:
    """Work until the process is ended."""
    work_folder = mkdtemp(prefix="spark-", dir=folder)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["JAVA_TOOL_OPTIONS"] = f"-Djava.io.tmpdir={work_folder}"
    builder = SparkSession.builder.master("local[1]").appName(group)
    for name, value in {**SETTINGS, "spark.local.dir": work_folder}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    kafka = {"kafka.bootstrap.servers": bootstrap}
    frame = (
        spark.readStream.format("kafka")
        .options(**kafka, subscribe=events, startingOffsets="earliest")
        .option("maxOffsetsPerTrigger", trigger_events)
        .load()
        .selectExpr("key", "value", "offset", "unix_millis(timestamp) AS timestamp")
    )
    sink = {**kafka, "topic": predictions, "kafka.linger.ms": "5"}
    if model:
        answered = frame.mapInArrow(fitted(events, model), "key binary, value binary")
        writer = answered.writeStream.format("kafka").options(**sink)
    else:
        writer = frame.writeStream.foreachBatch(learning(spark, Work(events, None), sink))
    writer.option("checkpointLocation", f"{work_folder}/checkpoint").start().awaitTermination()


def fitted(events: str, model: str) -> Any:
    """A function of Arrow batches, which Spark sends to its Python worker."""

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        work = Work(events, model)
        for batch in batches:
            yield from answers(work, batch).to_batches()

    return answer


def learning(spark: SparkSession, work: Work, sink: dict[str, str]) -> Any:
    """A function of micro-batches, on the driver."""

    def answer(frame: Any, _number: int) -> None:
        answered = answers(work, frame.toArrow().combine_chunks())
        spark.createDataFrame(answered).write.format("kafka").options(**sink).save()

    return answer


def answers(work: Work, events: pa.RecordBatch | pa.Table) -> pa.Table:
    """Keys and predictions of a batch."""
    made = work.many(
        *(events.column(name).to_pylist() for name in ("value", "offset", "timestamp"))
    )
    return pa.table({"key": events.column("key"), "value": pa.array(made, pa.binary())})


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
