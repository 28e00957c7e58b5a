"""Spans: whose they are, how many there are, and that they arrive at a collector."""

import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from millstream.config.settings import Settings
from millstream.errors import SettingsError
from millstream.observability.otel import Tracing
from millstream.observability.tracing import make_tracing
from tests.support.kafka.app import App, event_of
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.worker import WorkerProcess

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01".encode()
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00".encode()


class Message:
    """As much of a Kafka message as there is of it in a span."""

    def __init__(self, offset: int, traceparent: bytes | None = None, error: object = None) -> None:
        self._offset = offset
        self._headers = None if traceparent is None else [("traceparent", traceparent)]
        self._error = error

    def error(self) -> object:
        return self._error

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return "payments"

    def partition(self) -> int:
        return 3

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def key(self) -> None:
        return None

    value = key


def spans(*messages: Message, of_events: bool, committed: bool = True) -> tuple[Any, ...]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider, "fraud", of_events=of_events)
    tracing.begin(messages)
    tracing.end(committed=committed)
    tracing.begin([])
    tracing.end(committed=True)
    return exporter.get_finished_spans()


def test_each_event_whose_trace_is_sampled_has_a_span_in_that_trace() -> None:
    found = spans(
        Message(7, SAMPLED), Message(8, NOT_SAMPLED), Message(9), Message(10, b"\xff junk"),
        Message(11, SAMPLED, error="end of the partition"), of_events=True,
    )  # fmt: skip
    (span,) = found
    assert span.name == "process payments"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.attributes["messaging.kafka.offset"] == 7
    assert span.attributes["messaging.destination.partition.id"] == "3"
    assert span.attributes["messaging.consumer.group.name"] == "fraud"
    assert span.start_time <= span.end_time
    assert span.status.is_ok


def test_a_batch_has_one_span_with_links_to_the_sampled_events() -> None:
    (span,) = spans(Message(7, SAMPLED), Message(8, NOT_SAMPLED), Message(9), of_events=False)
    assert span.parent is None
    assert [f"{link.context.span_id:016x}" for link in span.links] == [SPAN]
    assert span.attributes["messaging.batch.message_count"] == 3


@pytest.mark.parametrize("of_events", [True, False])
def test_a_batch_that_was_aborted_is_an_error(of_events: bool) -> None:
    (span,) = spans(Message(7, SAMPLED), of_events=of_events, committed=False)
    assert not span.status.is_ok
    assert "aborted" in span.status.description


def settings_of(spans: str) -> Settings:
    return Settings.model_validate(
        {
            "app": "fraud",
            "kafka": {"bootstrap.servers": "x:1"},
            "events": {"topic": "e", "id": "id", "label": "y"},
            "labels": {"from": "event"},
            "model": {"river": "linear_model.LogisticRegression()"},
            "tracing": {"spans": spans},
        }
    )


def test_without_spans_nothing_of_opentelemetry_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "millstream.observability.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert make_tracing(settings_of("none"), "a") is None


def test_spans_without_the_extra_are_one_sentence_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "millstream.observability.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(
        SettingsError, match=r"tracing.spans is event, .* install millstream\[otel\]"
    ):
        make_tracing(settings_of("event"), "a")


class Collector:
    """Takes what is exported by OTLP over HTTP."""

    def __init__(self) -> None:
        requests: list[ExportTraceServiceRequest] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nobody wants to read it."""

        self.requests = requests
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        return {
            attribute.value.string_value
            for request in list(self.requests)
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, daemon=True)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


@pytest.mark.kafka
def test_a_trace_goes_on_to_predictions_and_dead_letters_and_the_worker_adds_its_part(
    kafka: Kafka, tmp_path: Path, collector: Collector
) -> None:
    app = App(kafka, tmp_path, tracing={"spans": "event"})
    headers = [("traceparent", SAMPLED), ("tracestate", b"vendor=x")]
    good = orjson.dumps(event_of(0)[1])
    kafka.produce(
        app.events, [("0", good, headers, None, None), ("1", b"junk", headers, None, None)]
    )
    worker = WorkerProcess(
        app.file,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"},
    )
    with worker:
        worker.wait_until(lambda: app.handled() == 2, timeout=120)
        worker.wait_until(lambda: len(collector.spans()) == 2, timeout=60)
        assert worker.stop() == 0
    (prediction,) = app.read("predictions")
    (letter,) = app.read("dead-letters")
    assert prediction.headers == headers
    assert letter.headers[:2] == headers
    found = collector.spans()
    assert {span.trace_id.hex() for span in found} == {TRACE}
    assert {span.parent_span_id.hex() for span in found} == {SPAN}
    assert collector.services() == {app.name}


def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # A thread of the exporter's tries on for a while, and would tell of it in other tests.
    logging.getLogger("opentelemetry").propagate = False
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("millstream.observability.otel.CLOSE_SECONDS", 0.2)
    tracing = make_tracing(settings_of("batch"), "a")
    assert tracing is not None
    tracing.begin([Message(1, SAMPLED)])
    tracing.end(committed=True)
    closing = threading.Thread(target=tracing.close, daemon=True)
    closing.start()
    wait_until(lambda: not closing.is_alive(), 60, "closed")
