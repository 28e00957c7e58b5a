"""What every command does alike: exit codes, one line for a mistake, no secrets."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream import __version__
from tests.cli.conftest import inline
from tests.conftest import Millstream

Write = Callable[[dict[str, Any]], Path]


def test_the_version_is_shown(millstream: Millstream) -> None:
    assert millstream("--version") == (0, f"millstream {__version__}\n", "")


@pytest.mark.parametrize(
    "command",
    [
        "run", "demo", "check", "topics create", "send", "tail", "topics", "dead-letters",
        "dead-letters list", "dead-letters show", "dead-letters replay", "state", "snapshots",
        "snapshots list", "snapshots verify", "snapshots export", "snapshots delete", "audit",
    ],
)  # fmt: skip
def test_every_command_explains_itself(millstream: Millstream, command: str) -> None:
    result = millstream(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage" in result.out


def test_commands_are_listed_in_the_order_in_which_one_needs_them(millstream: Millstream) -> None:
    listed = re.findall(r"^│ (\w[\w-]*) ", millstream("--help").out, re.MULTILINE)
    assert listed[:7] == ["demo", "evaluate", "check", "topics", "run", "send", "tail"]


@pytest.mark.parametrize(
    "command", ["run", "check", "topics create", "tail", "send", "dead-letters list"]
)
def test_wrong_settings_are_one_line_and_exit_code_2(
    millstream: Millstream, write: Write, command: str
) -> None:
    settings = inline("a")
    settings["events"]["topik"] = settings["events"].pop("topic")
    more = ["river:Phishing"] if command == "send" else []
    result = millstream(*command.split(), write(settings), *more)
    assert result.exit_code == 2
    assert result.err.startswith("millstream: ")
    assert "topik" in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_a_settings_file_that_is_not_there_is_exit_code_2(
    millstream: Millstream, tmp_path: Path
) -> None:
    result = millstream("check", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml" in result.err
    assert result.err.count("\n") == 1


def test_a_path_with_a_nul_is_no_traceback(millstream: Millstream) -> None:
    result = millstream("check", "a\0b.yaml")
    assert result.exit_code == 2
    assert "Invalid value for 'SETTINGS'" in result.err


def test_an_error_of_kafka_that_nobody_expected_is_one_line_without_secrets(
    millstream: Millstream, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FAIL, "it quotes canary-5e1f"))

    monkeypatch.setattr("millstream.cli.commands.topics.connect", fail)
    settings = inline("a")
    settings["kafka"]["sasl.password"] = "canary-5e1f"
    result = millstream("topics", "create", write(settings))
    assert result == (1, "", "millstream: Kafka failed: it quotes (hidden)\n")


@pytest.mark.parametrize("command", ["topics create", "tail", "send", "dead-letters list"])
def test_an_unreachable_broker_is_one_line_that_says_why(
    millstream: Millstream, write: Write, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 1.0)
    more = ["river:Phishing"] if command == "send" else []
    result = millstream(*command.split(), write(inline("a")), *more)
    assert result.exit_code == 1
    assert result.err == (
        "millstream: no Kafka broker answers (127.0.0.1:1: Connection refused): check that the "
        "brokers run, that bootstrap.servers names them, and the security settings under kafka\n"
    )


def test_a_password_is_never_printed(
    millstream: Millstream, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 1.0)
    settings = inline("a")
    settings["log"] = {"level": "debug"}
    settings["kafka"] |= {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "someone",
        "sasl.password": "canary-5e1f",
    }
    result = millstream("check", write(settings))
    assert result.exit_code == 1
    assert "canary" not in result.out + result.err


def test_a_piece_of_a_secret_that_librdkafka_quotes_is_never_printed(
    millstream: Millstream, write: Write
) -> None:
    settings = inline("a")
    settings["kafka"] |= {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt": "true",
        "sasl.oauthbearer.config": "principal=someone hunter2secret",
    }
    result = millstream("check", write(settings))
    assert result.exit_code != 0
    assert "hunter2" not in result.out + result.err


def test_a_worker_of_a_river_model_starts_without_what_others_need() -> None:
    """A worker that was killed is silent until its next process has imported everything."""
    program = (
        "import sys; from millstream.cli import app; from typer.main import get_command;"
        'get_command(app).commands["run"]; import millstream.cli.worker_process;'
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    imported = set(done.stdout.decode().split())
    assert "millstream.runners.confluent.worker" in imported
    needless = {"millstream.cli.commands.audit", "millstream.evaluation", "millstream.faust"}
    assert not imported & (needless | {"sklearn.ensemble", "sklearn.calibration", "rich.markdown"})
