"""An HTTP server for metrics, liveness and readiness."""

import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final, Literal, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from millstream.config.sections import HttpSettings
from millstream.errors import Stop

MOST_CONNECTIONS: Final = 64
"""Open at once; probes and Prometheus need a handful."""
STOP_POLL_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


class Reports(Protocol):
    """Reports the health of one worker or of several."""

    def report(self) -> dict[str, object]:
        """Answer of /livez and /readyz, with the truth values `alive` and `ready`."""


class HealthServer:
    """Serves /metrics, /livez and /readyz from a thread of its own."""

    def __init__(self, http: HttpSettings, health: Reports, registry: CollectorRegistry) -> None:
        self._http = http
        self._health = health
        self._registry = registry
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen; returns the address as `host:port`. Raises Stop where that is not possible."""
        host, port = self._http.host, self._http.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._server = _Server(family, (host, port), self._health, self._registry)
        except (OSError, UnicodeError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "no such host or port"
            raise Stop(
                f"cannot listen on {host}:{port} for /metrics and health ({why}): set "
                "http.host to an address of this machine, http.port to a free port (0 picks one), "
                "or http.enabled to false"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_SECONDS,),
            name="millstream-http", daemon=True,
        )  # fmt: skip
        self._thread.start()
        address = f"{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}"
        _log.info("serving /metrics, /livez and /readyz", extra={"address": address})
        return address

    def stop(self) -> None:
        """Stop listening; does nothing where it never started."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None


class _Server(ThreadingTCPServer):
    """A thread for each connection, at most `MOST_CONNECTIONS` at once."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    """Connections that may be pending; beyond that, a probe waits a second for its next try."""

    def __init__(
        self,
        family: int,
        address: tuple[str, int],
        health: Reports,
        registry: CollectorRegistry,
    ) -> None:
        self.health = health
        self.registry = registry
        self.address_family = family
        self._open: dict[Any, None] = {}  # oldest first
        self._changing = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Close the oldest connection where there are too many.

        Each costs a thread and a descriptor, which the Kafka clients need too. An answered client
        is gone in milliseconds, so the oldest is one that sends or reads slowly, or never.
        """
        with self._changing:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > MOST_CONNECTIONS else None
            self._open.pop(oldest, None)
            if oldest is not None:
                with suppress(OSError):  # it has hung up by itself
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it, before its descriptor is another's."""
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Log only: a client that hangs up in the middle is no error of ours."""
        _log.debug("a request to /metrics or a probe was broken off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: _Server
    timeout = 10
    """Seconds that a client may take to send its request."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = _encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encode(self.server.registry))
        elif path == "/livez":
            self._answer_health("alive")
        elif path == "/readyz":
            self._answer_health("ready")
        else:
            body = b"/metrics, /livez or /readyz\n"
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", body)

    def do_HEAD(self) -> None:
        # The same without the body, as some load balancers ask.
        self.do_GET()

    def _answer_health(self, key: Literal["alive", "ready"]) -> None:
        report = self.server.health.report()
        status = HTTPStatus.OK if report[key] else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(report).encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The format that a client asks for; the plainest where its version is not a number."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")
