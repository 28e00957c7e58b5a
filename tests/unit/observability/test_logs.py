"""Logs: one shape for all, fields beside the sentence, secrets nowhere."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
from confluent_kafka import Producer

from millstream.config.kafka_properties import HIDDEN
from millstream.config.sections import LogSettings
from millstream.observability import logs
from tests.support.kafka.cluster import wait_until

CANARY = 'canary"\n-8fdb'
KAFKA = {"sasl.password": CANARY, "sasl.username": "someone", "ssl.key.pem": "PEM-canary"}


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("millstream").setLevel(logging.NOTSET)


def configure(shape: Literal["text", "json"], level: Literal["debug", "info"] = "info") -> None:
    logs.configure(LogSettings(format=shape, level=level), KAFKA)


def test_a_json_line_holds_the_sentence_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    logging.getLogger("millstream.x").info("shard restored", extra={"partition": 3, "learned": 7})
    out, err = capsys.readouterr()
    entry = json.loads(err)
    assert out == ""
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "millstream.x",
        "message": "shard restored",
        "partition": 3,
        "learned": 7,
    }


def test_a_text_line_reads_like_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text")
    logging.getLogger("millstream.x").warning("shard %s restored", 3, extra={"learned": 7})
    line = capsys.readouterr().err
    assert line.partition(" ")[2] == "warning millstream.x: shard 3 restored (learned=7)\n"


def test_a_traceback_stays_in_the_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    odd = ValueError("odd")
    logging.getLogger("millstream.x").error("it failed", exc_info=odd)
    entry = json.loads(capsys.readouterr().err)
    assert "ValueError: odd" in entry["exception"]


def test_the_level_of_the_settings_rules_millstream_and_libraries_only_warn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("text")
    logging.getLogger("millstream.x").debug("too much")
    logging.getLogger("somewhere").info("too much")
    assert capsys.readouterr().err == ""
    configure("text", "debug")
    logging.getLogger("millstream.x").debug("wanted")
    assert "wanted" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["text", "json"])
def test_no_secret_of_the_settings_is_ever_logged(
    shape: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(shape)
    log = logging.getLogger("millstream.x")
    log.warning("refused %s for someone", CANARY, extra={"config": str(KAFKA), "raw": KAFKA})
    log.error("PEM-canary", exc_info=ValueError(CANARY))
    err = capsys.readouterr().err
    assert "canary" not in err
    assert HIDDEN in err
    assert "someone" in err


def test_a_password_in_an_address_is_hidden_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    url = "https://worker:canary@login.example.com/token"
    logs.configure(LogSettings(), {"sasl.oauthbearer.token.endpoint.url": url})
    logging.getLogger("millstream.librdkafka").error('Failed to retrieve OIDC token from "%s"', url)
    said = capsys.readouterr().err
    assert "canary" not in said
    assert "login.example.com/token" in said


def test_a_piece_of_a_secret_is_hidden_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    kafka = {"sasl.oauthbearer.config": "principal=canary-a scope=canary-b canary-c"}
    logs.configure(LogSettings(), kafka)
    said = 'not understood: "canary-c", canary-b'
    logging.getLogger("millstream.x").warning(said)
    assert "canary" not in capsys.readouterr().err
    assert logs.without_secrets(said) == f'not understood: "{HIDDEN}", {HIDDEN}'


def test_what_librdkafka_logs_becomes_a_sentence_with_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("json")
    logger = logging.getLogger("millstream.librdkafka")
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "logger": logger})

    def logged() -> str:
        producer.poll(0.1)
        return capsys.readouterr().err

    entry = json.loads(wait_until(logged, message="a line is logged").splitlines()[0])
    assert entry["facility"] == "FAIL"
    assert entry["client"].startswith("rdkafka#producer")
    assert entry["client_thread"].startswith("127.0.0.1:1/")
    assert "Connection refused" in entry["message"]
    assert not entry["message"].startswith("[thrd:")


def test_properties_meant_for_the_other_kind_of_client_are_no_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("json")
    logger = logging.getLogger("millstream.librdkafka")
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "group.id": "x", "logger": logger})
    seen: list[str] = []

    def refused() -> bool:
        producer.poll(0.1)
        seen.append(capsys.readouterr().err)
        return "Connection refused" in seen[-1]

    wait_until(refused, message="what comes after the warning is logged")
    assert "will be ignored" not in "".join(seen)
