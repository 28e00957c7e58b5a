"""`tail` shows predictions as they come."""

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.cli.commands import tail
from millstream.cli.commands.tail import describe_prediction
from tests.cli.conftest import inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka


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
    assert "m 0123456789ab, learned 1,234, event 5/33" in result.out
    as_json = millstream("tail", path, "--from-start", "--limit", 1, "--json")
    assert orjson.loads(as_json.out) == prediction("kept")


def test_what_a_record_holds_does_nothing_to_the_terminal(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("tail")
    topic = f"{app}.predictions"
    kafka.create_topics(topic)
    hostile = "\x1b[2Jid\n\x9b31m\u202e [red]x[/red] :smile:"
    kafka.produce(topic, [(None, orjson.dumps(prediction(hostile)), None, None, 0)])
    result = millstream("tail", write(inline(app, kafka.bootstrap)), "--from-start", "--limit", 1)
    assert r"\x1b[2Jid\n\x9b31m\u202e [red]x[/red] :smile:" in result.out
    assert result.out.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"prediction": None, "probabilities": {}}, "x no prediction yet m"),
        ({"prediction": None}, "x no prediction yet m"),
        ({"prediction": 2.5}, "x 2.5 m"),
        ({"prediction": "[b]"}, "x [b] m"),
        ({"prediction": None, "score": 0.25}, "x score 0.25 m"),
        ({"prediction": True, "score": 0.25}, "x True score 0.25 m"),
    ],
)
def test_each_kind_of_answer_has_its_words(answer: dict[str, object], shown: str) -> None:
    record = prediction("x")
    del record["probabilities"]
    assert shown in describe_prediction(record | answer).plain


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff", b"[]", b"{}", orjson.dumps({"id": 1, "predicted_at": 1e300})]
)
def test_a_record_that_is_no_prediction_is_named_and_the_next_one_follows(
    millstream: Millstream, write: Write, kafka: Kafka, value: bytes | None
) -> None:
    app = kafka.unique("tail")
    topic = f"{app}.predictions"
    kafka.create_topics(topic)
    good = orjson.dumps(prediction("good"))
    kafka.produce(topic, [(None, each, None, None, 0) for each in (value, good)])
    path = write(inline(app, kafka.bootstrap))
    for more in ((), ("--json",)):
        result = millstream("tail", path, "--from-start", "--limit", 2, *more)
        assert result.err == f"not a prediction record: {topic} partition 0 offset 0\n"
        assert "good" in result.out
        assert result.out.count("\n") == 1


def test_predictions_that_may_not_be_read_are_one_sentence(
    millstream: Millstream, write: Write, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = kafka.unique("tail")
    kafka.create_topics(f"{app}.predictions")
    path = write(inline(app, kafka.bootstrap))

    class Refused(tail.Consumer):
        def poll(self, _timeout: float = -1) -> None:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(tail, "Consumer", Refused)
    result = millstream("tail", path, "--from-start")
    assert result.exit_code == 1
    assert result.err.startswith(f"millstream: cannot read topic {app}.predictions: ")
    assert result.err.count("\n") == 1


def prediction(name: str) -> dict[str, object]:
    return {
        "id": name,
        "prediction": True,
        "probabilities": {"false": 0.1, "true": 0.9},
        "model": {"name": "m", "version": "0123456789ab", "learned": 1234},
        "event_time": 1_000,
        "predicted_at": 1_795_000_000_000,
        "source": {"topic": "t", "partition": 5, "offset": 33},
    }
