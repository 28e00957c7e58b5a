"""Every kind of model is complete in one registry."""

import sys
from subprocess import run
from typing import Any

import pytest

from millstream.artifacts.loader import LOADERS
from millstream.core.models.factory import definition_digest, describe
from millstream.core.models.registry import MODEL_KINDS, definition_of
from millstream.core.spec import MODEL_FILES, LabelsSpec, ModelSpec

FILE = {"path": "model.joblib", "sha256": "0" * 64}
VALUES: dict[str, Any] = {
    "river": " naive_bayes.GaussianNB()",
    "factory": "mine:make",
    "sklearn": FILE,
}


def test_each_kind_has_a_setting_and_a_loader_of_its_name() -> None:
    assert set(MODEL_KINDS) == set(LOADERS) == set(VALUES)
    assert set(MODEL_KINDS) <= set(ModelSpec.model_fields)


@pytest.mark.parametrize("name", VALUES)
def test_the_settings_that_define_a_model_choose_its_kind(name: str) -> None:
    spec = ModelSpec.model_validate({name: VALUES[name]})
    found, kind, value = definition_of(spec)
    assert (found, kind, value) == (name, MODEL_KINDS[name], getattr(spec, name))


@pytest.mark.parametrize(
    ("settings", "fingerprint", "version", "text"),
    [
        ({"river": VALUES["river"]}, None, "eb7920d594fe", " naive_bayes.GaussianNB()"),
        ({"factory": "mine:make", "weights": FILE}, "abc", "640b5b4929bf", "factory mine:make"),
        (
            {"sklearn": FILE, "classes": [1, 2]},
            None,
            "0c3eb9fa8453",
            f"scikit-learn, sha256 {'0' * 64}",
        ),
    ],
)
def test_the_version_of_a_model_stays_what_snapshots_and_logs_say(
    settings: Any, fingerprint: str | None, version: str, text: str
) -> None:
    spec = ModelSpec.model_validate(settings)
    labels = LabelsSpec.model_validate({"from": "event"})
    assert definition_digest(spec, labels, fingerprint) == version
    assert describe(spec) == text


def test_files_below_model_are_found_by_their_type() -> None:
    assert MODEL_FILES == ("sklearn", "weights")


def test_settings_import_no_library_of_models() -> None:
    program = (
        "import sys, millstream.config.validation\n"
        "print([name for name in ('river', 'sklearn') if name in sys.modules])"
    )
    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
