"""Conversion of brokers and security between a Faust app and librdkafka's properties."""

import ssl
from typing import Any, Final

from faust.auth import SASLCredentials, SSLCredentials

from millstream.config.settings import Settings
from millstream.errors import SettingsError
from millstream.kafka.client_config import session_timeout_ms

_DEFAULT_PORT: Final = 9092
_REQUEST_SECONDS: Final = 90.0
_CARRIED: Final = {
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
}  # fmt: skip
_NOT_CARRIED: Final = ("sasl.oauthbearer.", "sasl.kerberos.", "ssl.keystore.", "ssl.ca.pem",
                       "ssl.certificate.pem", "ssl.key.pem", "ssl.engine.")  # fmt: skip


def kafka_of(app: Any) -> dict[str, Any]:
    """The Faust app's brokers and security as librdkafka properties; see `is_carried`."""
    conf = app.conf
    servers = ",".join(f"{url.host}:{url.port or _DEFAULT_PORT}" for url in conf.broker_consumer)
    kafka: dict[str, Any] = {"bootstrap.servers": servers}
    credentials = conf.broker_credentials
    if isinstance(credentials, SASLCredentials):
        return kafka | {
            "security.protocol": "sasl_ssl" if credentials.ssl_context else "sasl_plaintext",
            "sasl.mechanism": str(getattr(credentials.mechanism, "value", credentials.mechanism)),
            "sasl.username": credentials.username or "",
            "sasl.password": credentials.password or "",
            **_authorities(credentials.ssl_context),
        }
    context = credentials.context if isinstance(credentials, SSLCredentials) else conf.ssl_context
    if context is not None and is_carried(credentials):
        kafka |= {"security.protocol": "ssl", **_authorities(context)}
    return kafka


def is_carried(credentials: Any) -> bool:
    """Whether credentials can be read from a Faust app: not OAuth's callbacks or Kerberos' tickets.

    Nor a client certificate, which Python does not show; brokers report that it is missing.
    """
    return credentials is None or isinstance(credentials, SASLCredentials | SSLCredentials)


def _authorities(context: ssl.SSLContext | None) -> dict[str, Any]:
    """The certificates that an SSL context trusts."""
    found = [] if context is None else context.get_ca_certs(binary_form=True)
    return {"ssl.ca.pem": "".join(map(ssl.DER_cert_to_PEM_cert, found))} if found else {}


def app_options(settings: Settings) -> dict[str, Any]:
    """Faust's settings for the properties under `kafka`.

    Raises SettingsError for properties that Faust's client has no equivalent of.
    """
    kafka = {name: str(value) for name, value in settings.kafka.items()}
    for name in kafka:
        if name.startswith(_NOT_CARRIED):
            raise SettingsError(
                f"kafka.{name} cannot be carried over to Faust's Kafka client: attach the worker "
                "to a Faust app of your own (docs/faust.md), or leave runner out"
            )
    seconds = session_timeout_ms(settings) / 1000
    return {
        "broker": [f"kafka://{server.strip()}" for server in kafka["bootstrap.servers"].split(",")],
        "broker_credentials": _credentials(kafka),
        "broker_session_timeout": seconds,
        "broker_heartbeat_interval": int(kafka.get("heartbeat.interval.ms", seconds * 250)) / 1000,
        "broker_request_timeout": max(_REQUEST_SECONDS, seconds),
        "consumer_group_instance_id": kafka.get("group.instance.id"),
        "store": "memory://",
        "web_enabled": False,
        # No timer needs a leader, and this saves a topic.
        "topic_disable_leader": True,
        "topic_allow_declare": False,
    }


def _credentials(kafka: dict[str, str]) -> Any:
    protocol = kafka.get("security.protocol", "plaintext").lower()
    context = _context(kafka) if protocol.endswith("ssl") else None
    if protocol == "ssl":
        return SSLCredentials(context=context)
    if not protocol.startswith("sasl"):
        return None
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "GSSAPI"))
    if mechanism not in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
        raise SettingsError(
            f"kafka.sasl.mechanism: {mechanism} cannot be carried over to Faust's Kafka client: "
            "attach the worker to a Faust app of your own (docs/faust.md), or leave runner out"
        )
    return SASLCredentials(
        username=kafka.get("sasl.username"), password=kafka.get("sasl.password"),
        mechanism=mechanism, ssl_context=context,
    )  # fmt: skip


def _context(kafka: dict[str, str]) -> ssl.SSLContext:
    """An SSL context from the certificate files under `kafka`."""
    try:
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
        certificate = kafka.get("ssl.certificate.location")
        if certificate is not None:
            context.load_cert_chain(
                certificate, kafka.get("ssl.key.location"), kafka.get("ssl.key.password")
            )
    except OSError as error:
        raise SettingsError(
            f"kafka.ssl: a certificate or key cannot be read ({error.strerror or error}): look at "
            f"{', '.join(sorted(_CARRIED))}"
        ) from error
    if kafka.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if kafka.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
