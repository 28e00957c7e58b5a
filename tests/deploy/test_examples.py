"""The examples' settings are good ones, and fit the data that they are about."""

from pathlib import Path

import pytest
from river import datasets

from millstream.config.settings import Settings, load_settings
from tests.deploy.files import EXAMPLES, ROOT


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_settings_of_an_example_load(example: Path) -> None:
    assert isinstance(load_settings(example), Settings)


PHISHING = [path for path in EXAMPLES if path.parent.name.startswith("phishing")]


@pytest.mark.parametrize("example", PHISHING, ids=lambda path: path.parent.name)
def test_the_examples_features_are_the_data_sets(example: Path) -> None:
    features, _ = next(iter(datasets.Phishing()))
    assert load_settings(example).events.features == tuple(features)


def test_the_late_example_joins_labels_from_a_topic() -> None:
    labels = load_settings(ROOT / "examples" / "phishing-late" / "millstream.yaml").labels
    assert (labels.source, labels.wait) == ("topic", 7 * 86_400_000)
    assert (
        load_settings(ROOT / "examples" / "phishing" / "millstream.yaml").labels.source == "event"
    )


def test_two_examples_share_no_topic_and_no_app() -> None:
    settings = [load_settings(path) for path in EXAMPLES]
    assert len({one.app for one in settings}) == len(settings)
    assert len({one.events.topic for one in settings}) == len(settings)
