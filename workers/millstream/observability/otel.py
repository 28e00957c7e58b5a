"""Spans for OpenTelemetry, of the worker's part in the life of an event.

An event's W3C `traceparent` header is copied to its prediction or dead letter in any case, as all
headers are. With `tracing.spans` the worker adds spans of its own once their batch has ended; no
span is open before. OTEL_* variables say where they are exported to. Import this only where spans
are wanted: OpenTelemetry is an extra (see `tracing`).
"""

import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from millstream._versions import __version__
from millstream.config.settings import Settings
from millstream.kafka.call_timeout import call_with_timeout
from millstream.kafka.record import to_record

CLOSE_SECONDS: Final = 5.0
"""How long `close` waits for a collector that does not answer."""
_HEADERS: Final = ("traceparent", "tracestate")


class _Parent(NamedTuple):
    """The trace that a message belongs to, and the message's position."""

    context: Context
    topic: str
    partition: int
    offset: int


class Tracing:
    """The spans of one batch after the other."""

    def __init__(self, provider: TracerProvider, group: str, *, of_events: bool) -> None:
        """`of_events`: a span for each event whose trace is sampled; else one for each batch."""
        self._provider = provider
        self._tracer = provider.get_tracer("millstream", __version__)
        self._of_events = of_events
        self._common = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": group,
        }
        self._parents: list[_Parent] = []
        self._messages = 0
        self._began = 0

    def begin(self, messages: Iterable[Any]) -> None:
        """Begin a batch with the messages of the Kafka client."""
        good = [message for message in messages if message.error() is None]
        self._began = time.time_ns()
        self._messages = len(good)
        self._parents = [parent for message in good if (parent := _parent(message)) is not None]

    def end(self, *, committed: bool) -> None:
        """End the batch: it was committed, or it was aborted and is processed again."""
        if self._of_events:
            self._end_events(committed=committed)
        elif self._messages:
            self._end_batch(committed=committed)
        self._parents, self._messages = [], 0

    def close(self) -> None:
        """Export the remaining spans."""
        call_with_timeout(CLOSE_SECONDS, self._provider.shutdown)

    def _end_events(self, *, committed: bool) -> None:
        for parent in self._parents:
            self._make(
                f"process {parent.topic}",
                {
                    "messaging.destination.name": parent.topic,
                    "messaging.destination.partition.id": str(parent.partition),
                    "messaging.kafka.offset": parent.offset,
                },
                committed=committed,
                context=parent.context,
            )

    def _end_batch(self, *, committed: bool) -> None:
        links = [
            trace.Link(trace.get_current_span(parent.context).get_span_context())
            for parent in self._parents
        ]
        count = {"messaging.batch.message_count": self._messages}
        self._make("process batch", count, committed=committed, links=links)

    def _make(self, name: str, attributes: dict[str, Any], *, committed: bool, **more: Any) -> None:
        span = self._tracer.start_span(
            name,
            kind=trace.SpanKind.CONSUMER,
            attributes={**self._common, **attributes},
            start_time=self._began,
            **more,
        )
        if not committed:
            span.set_status(trace.Status(trace.StatusCode.ERROR, "aborted, and worked off again"))
        span.end()


def exporting(settings: Settings, instance: str) -> Tracing:
    """Tracing with an exporter as OpenTelemetry's variables have it."""
    ours = Resource(
        {
            "service.name": settings.app,
            "service.instance.id": instance,
            "service.version": __version__,
        }
    )
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of the user override ours.
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, settings.app, of_events=settings.tracing.spans == "event")


def _parent(message: Any) -> _Parent | None:
    """The trace of a message; None without one, or where it is not sampled."""
    carrier = {
        name: value.decode(errors="replace")
        for name, value in to_record(message).headers or ()
        if name in _HEADERS and value is not None
    }
    if "traceparent" not in carrier:
        return None
    # An empty context to begin with: the current one of this thread is not the message's.
    context = TraceContextTextMapPropagator().extract(
        carrier, trace.set_span_in_context(trace.INVALID_SPAN)
    )
    span = trace.get_current_span(context).get_span_context()
    if not (span.is_valid and span.trace_flags.sampled):
        return None
    return _Parent(context, message.topic(), message.partition(), message.offset())
