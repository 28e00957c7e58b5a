"""What a program may import of Millstream."""

import subprocess
import sys
from collections.abc import Callable

import pytest

import millstream
from millstream import Memory
from tests.support.apps import inline
from tests.support.kafka.app import PHISHING

pytest_plugins = ["millstream.testing"]


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in millstream.__all__:
        assert getattr(millstream, name) is not None
        assert name in dir(millstream)
    assert set(millstream._HOMES) == set(millstream.__all__)
    with pytest.raises(AttributeError, match="no attribute 'memmory'"):
        _ = millstream.memmory


def test_importing_millstream_imports_nothing_else() -> None:
    code = "import sys, millstream; print([n for n in sys.modules if n.startswith('millstream.')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_fixture_makes_apps_whose_settings_a_test_can_change(
    millstream_app: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_APP", "not-for-tests")
    settings = inline()
    app = millstream_app(settings, partitions=2, predictions={"features": False})
    app.run(PHISHING[:10])
    assert app.settings.app == "phishing"
    assert all("features" not in prediction for prediction in app.predictions)
    assert settings == inline()
    assert millstream_app("examples/phishing/millstream.yaml").settings.app == "phishing"


def test_a_worker_of_a_program_is_no_faust_app() -> None:
    settings = millstream.make_settings(
        inline(kafka={"bootstrap.servers": "localhost:9092"}, runner="faust",
               processing_guarantee="at_least_once")
    )  # fmt: skip
    with pytest.raises(millstream.SettingsError, match=r"millstream\.faust\.attach"):
        millstream.Worker(settings)
