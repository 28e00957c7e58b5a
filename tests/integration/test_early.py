"""The first producer is made ready while the model is imported, and ends what a crash left open."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.config.settings import load_settings
from millstream.delivery import producer_warmup
from millstream.delivery.producer_warmup import ProducerWarmup
from millstream.delivery.transactional_id import TransactionalIdLease
from tests.conftest import Millstream
from tests.support.kafka.app import App
from tests.support.kafka.cluster import Kafka, wait_until

pytestmark = pytest.mark.kafka


def test_a_transaction_that_a_dead_process_left_open_is_ended_before_the_worker_is_there(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path)
    predictions = app.topic("predictions")
    corpse = Producer({**kafka.config, "transactional.id": app.name, "error_cb": lambda _: None})
    corpse.init_transactions()
    corpse.begin_transaction()
    corpse.produce(predictions, b"half done")
    corpse.flush()

    first = ProducerWarmup(load_settings(app.file), app.name)
    wait_until(
        lambda: kafka.end_offsets(predictions, committed=True) == kafka.end_offsets(predictions)
    )
    ready = first.take(lambda _: None)

    assert ready is not None
    ready.begin_transaction()
    ready.produce(predictions, b"done")
    ready.commit_transaction()
    with pytest.raises(KafkaException) as refused:
        corpse.commit_transaction()
    assert refused.value.args[0].code() == KafkaError._FENCED
    assert first.take(lambda _: None) is None, "two publishers would share it"


def test_its_statistics_go_to_whoever_takes_it(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(kafka={**kafka.config, "statistics.interval.ms": 50})
    told: list[str] = []
    ready = ProducerWarmup(load_settings(app.file), app.name).take(told.append)
    assert ready is not None
    wait_until(lambda: (ready.poll(0.1), told)[1])
    assert '"type":"producer"' in told[0].replace(" ", "")


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_begins_it_before_its_model_where_it_has_transactions(
    millstream: Millstream,
    kafka: Kafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    guarantee: str,
) -> None:
    app = App(kafka, tmp_path, processing_guarantee=guarantee)
    slots: list[TransactionalIdLease] = []
    monkeypatch.setattr(
        "millstream.cli.worker_process.work", lambda *given: slots.append(given[-1])
    )
    assert millstream("run", app.file).exit_code == 0
    (slot,) = slots
    assert (slot.warmup is not None) == (guarantee == "exactly_once")
    if slot.warmup is not None:
        assert slot.warmup.take(lambda _: None) is not None
    slot.release()


def test_where_no_broker_answers_there_is_none_and_the_worker_has_to_say_why(
    tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_warmup, "READY_SECONDS", 0.3)
    app = App(kafka, tmp_path)
    app.write_settings(kafka={"bootstrap.servers": "127.0.0.1:1"})
    assert ProducerWarmup(load_settings(app.file), app.name).take(lambda _: None) is None
