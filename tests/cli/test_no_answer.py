"""Of brokers that do not answer, the user is told which, and why."""

import socket

import pytest
from confluent_kafka import KafkaError

from millstream.errors import Stop
from millstream.kafka.admin import connect
from millstream.kafka.connection_errors import no_answer
from tests.cli.conftest import build, inline


def test_each_address_is_named_with_what_was_met_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        servers = f"PLAINTEXT://127.0.0.1:1, {host},nowhere.invalid"
        with pytest.raises(Stop) as caught:
            connect(build(inline("a", servers)))
    said = str(caught.value)
    assert "127.0.0.1:1: Connection refused; " in said
    assert f"{host}: no answer in time; " in said
    assert "nowhere.invalid:9092: Failed to resolve" in said
    assert not any(word in said for word in ("brokers are down", "in state", "bootstrap:"))


def test_the_first_that_was_met_is_told_and_not_how_many_are_down() -> None:
    met = [
        KafkaError(KafkaError._ALL_BROKERS_DOWN, "0/2 brokers are down"),
        KafkaError(
            KafkaError._TRANSPORT,
            "ssl://b:1/bootstrap: SSL handshake failed: a PLAINTEXT listener? (after 3ms in state "
            "SSL_HANDSHAKE)",
        ),
        KafkaError(
            KafkaError._TRANSPORT, "ssl://b:1/bootstrap: Disconnected (after 1ms in state UP)"
        ),
        KafkaError(KafkaError._TRANSPORT, "b2:1/7: Connect to ipv4#1.2.3.4:1 failed: refused"),
        KafkaError(KafkaError._FATAL, "something else"),
    ]
    expected = "b:1: SSL handshake failed: a PLAINTEXT listener?; b2:1: refused; something else"
    assert no_answer("b:1", met) == expected
