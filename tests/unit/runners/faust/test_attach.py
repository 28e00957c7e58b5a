"""What can be attached to a Faust app, and what is refused with a sentence; no broker is asked."""

import asyncio
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("faust", reason="the extra faust is not installed")

import faust
from confluent_kafka import Consumer
from faust.auth import GSSAPICredentials, SASLCredentials
from prometheus_client import REGISTRY, generate_latest

import millstream.faust
from millstream.artifacts.loader import learner_factory
from millstream.config.settings import load_settings
from millstream.errors import SettingsError, Stop
from millstream.observability.health import Health
from millstream.runners.faust.security import app_options, kafka_of
from millstream.runners.faust.stall_detector import StallDetector
from tests.support.wrong_settings import GOOD


def settings_file(folder: Path, **changes: Any) -> Path:
    document = yaml.safe_load(GOOD)
    document |= {"app": "mine", "processing_guarantee": "at_least_once", **changes}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def new_app(name: str = "mine", **options: Any) -> Any:
    return faust.App(name, **{"broker": "kafka://one:1234", **options})


@pytest.fixture(autouse=True)
def _no_metrics_are_left_behind() -> Any:
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


@pytest.mark.parametrize(
    ("app", "changes", "sentence"),
    [
        ({}, {"processing_guarantee": "exactly_once"}, "cannot be had inside Faust"),
        ({"processing_guarantee": "exactly_once"}, {}, "may not commit offsets by itself"),
        ({"name": "other"}, {}, "the Faust app's id, and with it its consumer group, is other"),
        ({"broker": "confluent://one:1234"}, {}, "another driver than aiokafka"),
        ({"broker_credentials": GSSAPICredentials()}, {}, r"\(GSSAPICredentials\): write the same"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    tmp_path: Path, app: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        millstream.faust.attach(new_app(**app), settings_file(tmp_path, **changes))


def test_a_worker_that_comes_after_the_app_has_started_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    app = new_app()
    agents, consumer = dict(app.agents), app.transport.Consumer
    app._started.set()
    with pytest.raises(SettingsError, match="has started already: attach the worker where"):
        millstream.faust.attach(app, settings_file(tmp_path))
    assert (dict(app.agents), app.transport.Consumer) == (agents, consumer)


def test_what_is_no_faust_app_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"given a PosixPath where the faust\.App should be"):
        millstream.faust.attach(settings_file(tmp_path), new_app())


def test_a_second_worker_in_one_app_is_refused(tmp_path: Path) -> None:
    app = new_app()
    millstream.faust.attach(app, settings_file(tmp_path))
    with pytest.raises(SettingsError, match="a worker is attached to this Faust app already"):
        millstream.faust.attach(app, settings_file(tmp_path))


def test_the_apps_brokers_win_over_those_in_the_settings(tmp_path: Path) -> None:
    path = settings_file(tmp_path, kafka={"bootstrap.servers": "two:5678", "linger.ms": 7})
    app = new_app(broker=["kafka://one:1234", "kafka://three"])
    worker = millstream.faust.attach(app, path)
    assert worker.settings.kafka == {"bootstrap.servers": "one:1234,three:9092", "linger.ms": "7"}


def test_the_apps_password_and_certificates_reach_the_workers_own_clients() -> None:
    context = ssl.create_default_context()
    credentials = SASLCredentials(
        username="me", password="canary", mechanism="SCRAM-SHA-512", ssl_context=context
    )
    kafka = kafka_of(new_app(broker_credentials=credentials))
    assert kafka.pop("ssl.ca.pem", "").count("BEGIN") == len(context.get_ca_certs())
    assert kafka == {
        "bootstrap.servers": "one:1234", "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "me", "sasl.password": "canary",
    }  # fmt: skip
    Consumer({**kafka, "group.id": "g"}).close()  # librdkafka knows all of these


def test_the_settings_brokers_and_password_reach_faust(tmp_path: Path) -> None:
    security = {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "me", "sasl.password": "canary",
    }  # fmt: skip
    kafka = {"bootstrap.servers": "a:1, b:2", "session.timeout.ms": 6000, **security}
    options = app_options(load_settings(settings_file(tmp_path, kafka=kafka)))
    app = faust.App("mine", **options)
    assert [url.host for url in app.conf.broker] == ["a", "b"]
    assert app.conf.broker_session_timeout == 6.0
    assert app.conf.broker_heartbeat_interval == 1.5
    assert app.conf.broker_credentials.password == "canary"
    assert kafka_of(app) == {"bootstrap.servers": "a:1,b:2", **security,
                             "security.protocol": "sasl_plaintext"}  # fmt: skip


@pytest.mark.parametrize(
    ("kafka", "sentence"),
    [
        ({"sasl.oauthbearer.config": "x"}, "kafka.sasl.oauthbearer.config cannot be carried over"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"}, "GSSAPI cannot be carried"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere"}, "cannot be read"),
    ],
)
def test_what_faust_cannot_be_given_is_refused_with_a_sentence(
    tmp_path: Path, kafka: dict[str, str], sentence: str
) -> None:
    settings = load_settings(
        settings_file(tmp_path, kafka={"bootstrap.servers": "one:1234", **kafka})
    )
    with pytest.raises(SettingsError, match=sentence):
        app_options(settings)


def test_runner_faust_is_refused_with_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="runner: faust cannot work with"):
        load_settings(settings_file(tmp_path, runner="faust", processing_guarantee="exactly_once"))
    kafka = {"bootstrap.servers": "one:1234", "group.protocol": "consumer"}
    with pytest.raises(SettingsError, match=r"kafka\.group\.protocol: Faust's Kafka client"):
        load_settings(settings_file(tmp_path, runner="faust", kafka=kafka))


def test_faust_commits_nothing_of_the_workers_topics(tmp_path: Path) -> None:
    app = new_app()
    worker = millstream.faust.attach(app, settings_file(tmp_path))
    channels = [agent.channel for agent in app.agents.values() if agent.fun == worker.agent]
    assert {name for channel in channels for name in channel.topics} == worker.bridge.topics
    assert not any(channel.acks for channel in channels)


def test_an_agent_beside_the_worker_on_its_topic_is_refused(tmp_path: Path) -> None:
    app = new_app()
    path = settings_file(tmp_path)
    worker = millstream.faust.attach(app, path)
    app.topics.add(app.topic(worker.settings.events.topic))
    with pytest.raises(SettingsError, match="takes from sites as well"):
        asyncio.run(worker.on_start())


def test_prometheus_own_registry_shows_the_workers_metrics_as_well(tmp_path: Path) -> None:
    millstream.faust.attach(new_app(), settings_file(tmp_path))
    assert 'millstream_predicted_total{app="' in generate_latest(REGISTRY).decode()


def test_what_ends_the_loop_takes_the_app_down(tmp_path: Path) -> None:
    app = new_app()
    worker = millstream.faust.attach(app, settings_file(tmp_path))
    crashed: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashed.append(reason)

    def run() -> None:
        raise Stop("the topics are gone")

    app.crash, worker._worker.run = crash, run

    async def scene() -> None:
        await worker.on_start()
        while not crashed:
            await asyncio.sleep(0.01)
        await worker.on_stop()

    asyncio.run(scene())
    assert str(crashed[0]) == "the topics are gone"
    assert worker.failure is crashed[0]


class Ends:
    """Says where logs end."""

    def __init__(self) -> None:
        self.end = 10

    def get_watermark_offsets(self, _place: object, timeout: float) -> tuple[int, int]:
        del timeout
        return 0, self.end


def test_liveness_ends_when_records_are_there_and_none_comes(tmp_path: Path) -> None:
    class Due:
        due = {("events", 0): 10}  # noqa: RUF012 - a stand-in

        def due_offsets(self) -> dict[tuple[str, int], int]:
            return self.due

    due, ends, health = Due(), Ends(), Health()
    settings = load_settings(settings_file(tmp_path, faust={"stall_after": "30s"}))
    stalls = StallDetector(settings, due, health)  # type: ignore[arg-type] # stand-ins

    def look(now: float) -> str | None:
        health.set_stall(stalls.look(ends, now))  # type: ignore[arg-type] # stand-ins
        return health.why_not_ready() if not health.alive() else None

    assert look(0) is None  # all that is there was handed over
    ends.end = 15
    assert look(100) is None  # but a moment ago something came
    assert look(129) is None
    assert "nothing of events partition 0 for 31 s, though 5 offsets from 10" in str(look(131))
    due.due = {("events", 0): 11}
    assert look(200) is None  # it goes on
    assert look(231) is not None


def test_workers_of_runner_faust_share_one_folder_that_a_killed_one_leaves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    settings = load_settings(settings_file(tmp_path, runner="faust"))
    build = learner_factory(settings)
    folders = {millstream.faust.Faust(settings, build).app.conf.datadir for _ in range(2)}
    assert len(folders) == 1
    assert [each.name for each in temporary.iterdir()] == [f"millstream-{os.getuid()}"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "settings.yaml"))  # a file, no folder
    with pytest.raises(Stop, match="make the folder above it writable, or set TMPDIR"):
        millstream.faust.Faust(settings, build)
