"""`tail` shows predictions as they come."""

import orjson
from confluent_kafka import Producer

from tests.cli.conftest import Millstream, inline
from tests.cli.test_main import Write
from tests.kafka.cluster import Kafka


def test_tail_shows_committed_predictions_only(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("tail")
    topic = f"{app}.predictions"
    kafka.create_topics(topic)
    producer = Producer({**kafka.config, "transactional.id": app})
    producer.init_transactions()
    for name, end in (
        ("aborted", producer.abort_transaction),
        ("kept", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, orjson.dumps(prediction(name)))
        producer.flush()
        end()
    path = write(inline(app, kafka.bootstrap))
    result = millstream("tail", path, "--from-start", "--limit", 1)
    assert result.exit_code == 0, result.err
    assert "kept True (90.0%)" in result.out
    assert "m 0123456789ab, learned 1,234" in result.out
    as_json = millstream("tail", path, "--from-start", "--limit", 1, "--json")
    assert orjson.loads(as_json.out) == prediction("kept")


def prediction(name: str) -> dict[str, object]:
    return {
        "id": name,
        "prediction": True,
        "probabilities": {"false": 0.1, "true": 0.9},
        "model": {"name": "m", "version": "0123456789ab", "learned": 1234},
        "event_time": 1_000,
        "predicted_at": 1_795_000_000_000,
        "source": {"topic": "t", "partition": 0, "offset": 3},
    }
