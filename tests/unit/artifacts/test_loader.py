"""Models from settings: files, factories, and whether everything fits together."""

import hashlib
import pickle
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
from river.datasets import Phishing
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from millstream.artifacts.loader import learner_factory, load_model, model_learns
from millstream.config.settings import Settings
from millstream.core.models.factory import definition_digest, wrap
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.expression import build
from millstream.core.spec import LabelsSpec, ModelSpec
from millstream.errors import SettingsError

SCALED = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"
ROWS = list(Phishing().take(100))
NAMES = tuple(ROWS[0][0])
MATRIX = [list(features.values()) for features, _ in ROWS]
LABELS = [label for _, label in ROWS]
INLINE = {"from": "event"}
LATE = {"from": "topic", "topic": "verdicts", "wait": "7d"}
NONE = {"from": "none"}


def settings(
    model: dict[str, Any],
    labels: dict[str, Any],
    features: Any = NAMES,
) -> Settings:
    return Settings.model_validate(
        {
            "app": "test",
            "kafka": {"bootstrap.servers": "localhost:9092"},
            "events": {
                "topic": "sites",
                "id": "site",
                "features": features,
                "label": "is_phishing" if labels["from"] == "event" else None,
            },
            "labels": labels,
            "model": model,
        }
    )


def saved(path: Path, content: bytes) -> dict[str, str]:
    path.write_bytes(content)
    return {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}


def dumped(path: Path, model: object) -> dict[str, str]:
    joblib.dump(model, path)
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def taught(text: str) -> Any:
    model: Any = build(text)
    for features, label in ROWS:
        model.learn_one(features, label)
    return model


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"factories_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "from river import cluster, linear_model, preprocessing\n"
        "from sklearn.linear_model import SGDClassifier\n"
        "SHARED = preprocessing.StandardScaler()\n"
        "def scaled():\n    return SHARED | linear_model.LogisticRegression()\n"
        "def incremental():\n    return SGDClassifier(random_state=1)\n"
        "def fitted():\n"
        f"    return SGDClassifier().fit([[0] * {len(NAMES)}, [1] * {len(NAMES)}], [0, 1])\n"
        "def clusters():\n    return SHARED | cluster.KMeans(seed=1)\n"
        "def broken():\n    raise KeyError('weights\\nand more')\n"
        "def nothing():\n    return None\n"
        "def listed():\n    return [SHARED]\n"
        "def named():\n    return {'scaler': SHARED}\n"
        "def text():\n    return 'a model'\n"
        "def unfinished():\n    return linear_model.LogisticRegression\n"
        "constant = 3\n"
    )
    (tmp_path / f"{name}_bad.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_each_learner_is_fresh_and_identical() -> None:
    make = learner_factory(settings({"river": SCALED}, INLINE))
    one, other = make(), make()
    assert one.digest() == other.digest()
    for features, label in ROWS:
        one.predict(features)
        one.learn(features, label)
    assert one.digest() != other.digest() == make().digest()
    assert one.digest() == digest(taught(SCALED))


@pytest.mark.parametrize("labels", [INLINE, LATE], ids=["inline", "late"])
def test_learners_from_a_factory_share_nothing_even_where_its_models_do(
    factories: str, labels: dict[str, Any]
) -> None:
    make = learner_factory(settings({"factory": f"{factories}:scaled"}, labels))
    one, other = make(), make()
    for features, label in ROWS:
        one.learn(features, label)
    assert other.digest() == make().digest() != one.digest()


def test_weights_from_a_file_are_where_a_learner_starts(tmp_path: Path) -> None:
    model = taught(SCALED)
    weights = saved(tmp_path / "weights.pkl", pickle.dumps(model))
    learner = learner_factory(settings({"river": SCALED, "weights": weights}, INLINE))()
    assert learner.digest() == digest(model)
    assert learner.predict(ROWS[0][0])["probabilities"] == model.predict_proba_one(ROWS[0][0])
    learner.learn(*ROWS[0])
    model.learn_one(*ROWS[0])
    assert learner.digest() == digest(model)


def test_weights_without_learning_are_a_static_model(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights.pkl", pickle.dumps(taught(SCALED)))
    for labels, learn in ((NONE, True), (INLINE, False)):
        make = learner_factory(
            settings({"river": SCALED, "weights": weights, "learn": learn}, labels)
        )
        assert not make().traits.learns
        assert make() is make()


def test_whether_a_model_learns_is_asked_of_it_where_the_settings_leave_it_open(
    tmp_path: Path, factories: str
) -> None:
    weights = saved(tmp_path / "weights.pkl", pickle.dumps(taught(SCALED)))
    missing = {"path": "not-there", "sha256": "0" * 64}
    for model, labels, learns in (
        ({"factory": f"{factories}:fitted"}, NONE, False),
        ({"factory": f"{factories}:clusters"}, NONE, True),
        ({"river": SCALED, "weights": weights}, NONE, False),
        ({"river": "cluster.KMeans(seed=1)"}, NONE, True),
        # These are not built: the settings say it.
        ({"sklearn": missing}, NONE, False),
        ({"sklearn": missing}, INLINE, True),
        ({"factory": "not.there:make"}, LATE, True),
        ({"factory": "not.there:make", "learn": False}, NONE, False),
    ):
        assert model_learns(settings(model, labels)) is learns


def test_a_file_that_is_not_the_pinned_one_is_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    reference = saved(tmp_path / "model.joblib", pickle.dumps(Trap()))
    actual, pinned = reference["sha256"], "0" * 64
    with pytest.raises(SettingsError) as refusal:
        load_model(ModelSpec.model_validate({"sklearn": {**reference, "sha256": pinned}}))
    assert actual in str(refusal.value)
    assert pinned in str(refusal.value)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = {"path": str(tmp_path / "missing.joblib"), "sha256": "0" * 64}
    with pytest.raises(SettingsError, match=r"missing\.joblib: No such file"):
        load_model(ModelSpec.model_validate({"sklearn": missing}))
    garbage = saved(tmp_path / "garbage", b"garbage")
    with pytest.raises(SettingsError, match="cannot be loaded") as refusal:
        load_model(ModelSpec.model_validate({"sklearn": garbage}))
    assert "\n" not in str(refusal.value)


def test_a_static_model_is_shared_and_predicts(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, LABELS)
    make = learner_factory(settings({"sklearn": dumped(tmp_path / "m.joblib", model)}, NONE))
    assert make() is make()
    assert make().traits.batched
    assert make().predict(ROWS[0][0])["prediction"] == model.predict(MATRIX[:1])[0]


def test_features_of_a_model_that_knows_their_names_need_not_be_listed(tmp_path: Path) -> None:
    model = LogisticRegression().fit(MATRIX, LABELS)
    nameless = dumped(tmp_path / "nameless.joblib", model)
    with pytest.raises(SettingsError, match="list the features"):
        learner_factory(settings({"sklearn": nameless}, NONE, features="all"))
    model.feature_names_in_ = NAMES
    named = dumped(tmp_path / "named.joblib", model)
    learner = learner_factory(settings({"sklearn": named}, NONE, features="all"))()
    assert learner.traits.feature_names == NAMES
    with pytest.raises(SettingsError, match="the model needs"):
        learner_factory(settings({"sklearn": named}, NONE, features=NAMES[:3]))


def test_a_model_that_learns_by_partial_fit_is_fresh_each_time(
    tmp_path: Path, factories: str
) -> None:
    definition = {"factory": f"{factories}:incremental", "classes": [False, True]}
    make = learner_factory(settings(definition, INLINE))
    one = make()
    for features, label in ROWS:
        one.learn(features, label)
    assert one.traits.learns
    assert make().predict(ROWS[0][0])["prediction"] is None
    weights = dumped(tmp_path / "weights.joblib", one.model)
    warm = learner_factory(settings({**definition, "weights": weights}, INLINE))()
    assert warm.digest() == one.digest()
    assert warm.predict(ROWS[0][0]) == one.predict(ROWS[0][0])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (":broken", "broken failed (KeyError: 'weights"),
        (":nothing", "returned None, not a model: let it return a River model, a"),
        (":unfinished", "returned the class LogisticRegression, not a model"),
        (":listed", "returned a list, not a model"),
        (":named", "returned a dict, not a model"),
        (":text", "returned a str, not a model"),
        (":constant", "has no function constant"),
        (":absent", "has no function absent"),
        ("_bad:scaled", "No module named 'a_module_that_is_not_there'): it needs a_module_that"),
        ("_none:scaled", "install it, or put its folder into PYTHONPATH"),
        ("_none.sub:scaled", "install it, or put its folder into PYTHONPATH"),
        (".sub:scaled", "install it, or put its folder into PYTHONPATH"),
        ("", "is not of the form package.module:function"),
        (":a b", "is not of the form package.module:function"),
    ],
)
def test_what_goes_wrong_in_a_factory_is_told_in_one_sentence(
    factories: str, function: str, why: str
) -> None:
    with pytest.raises(SettingsError, match=r"^model\.factory: ") as refusal:
        load_model(ModelSpec(factory=f"{factories}{function}"))
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("model", "labels", "why"),
    [
        ({"river": SCALED}, NONE, "say where they come from, or give model.weights"),
        ({"river": SCALED, "learn": False}, INLINE, "give it model.weights"),
        ({"river": "cluster.DenStream()"}, INLINE, "learns from events alone"),
        ({"river": "facto.FMClassifier(seed=1)"}, LATE, "cannot work with FMClassifier"),
        ({"river": "preprocessing.StandardScaler()"}, INLINE, "only transforms features"),
        (
            {"river": "naive_bayes.GaussianNB()"},
            LATE | {"learn_from": "transformed"},
            "needs a River pipeline",
        ),
    ],
)
def test_model_and_labels_that_do_not_fit_are_refused(
    model: dict[str, Any], labels: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        learner_factory(settings(model, labels))
    assert why in str(refusal.value)


def test_what_fits_late_labels_inline_ones_and_none() -> None:
    late = LATE | {"learn_from": "transformed"}
    assert learner_factory(settings({"river": SCALED}, late))().traits.learns
    assert learner_factory(
        settings({"river": "facto.FMClassifier(seed=1)"}, INLINE)
    )().traits.learns
    unsupervised = {"river": "preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(3, 4, seed=1)"}
    assert learner_factory(settings(unsupervised, NONE))().traits.learns
    assert not learner_factory(settings(unsupervised, NONE))().traits.supervised


@pytest.mark.parametrize(
    ("river", "labels", "classes"),
    [
        (SCALED, INLINE, [0, 1]),
        (SCALED, INLINE | {"values": {"yes": 1, "no": False}}, [True, False]),
        (SCALED, LATE | {"on_timeout": {"assume": True}}, [0, 1]),
        (SCALED, LATE | {"on_timeout": {"assume": "no"}, "values": {"no": 0}}, None),
        ("naive_bayes.GaussianNB()", LATE | {"on_timeout": {"assume": "a"}}, ["a", "b"]),
        ("naive_bayes.GaussianNB()", INLINE | {"values": {"x": 1, "y": "b"}}, ["b", 1]),
        ("linear_model.LinearRegression()", INLINE | {"values": {"low": 0.5}}, None),
    ],
)
def test_labels_in_the_settings_that_the_model_can_learn_are_taken(
    river: str, labels: dict[str, Any], classes: Any
) -> None:
    learner_factory(settings({"river": river, "classes": classes}, labels))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("naive_bayes.GaussianNB()", "holds GaussianNB, but"),
        ("preprocessing.MinMaxScaler() | linear_model.LogisticRegression()", "holds MinMaxScaler"),
        ("linear_model.LogisticRegression()", "the settings define StandardScaler | Logistic"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, other: str, said: str) -> None:
    weights = saved(tmp_path / "weights.pkl", pickle.dumps(taught(other)))
    with pytest.raises(SettingsError, match=r"^model\.weights: ") as refusal:
        learner_factory(settings({"river": SCALED, "weights": weights}, INLINE))
    assert said in str(refusal.value)


def test_a_fitted_scikit_learn_file_needs_no_weights_beside_it(tmp_path: Path) -> None:
    model = dumped(tmp_path / "m.joblib", SGDClassifier().fit(MATRIX, LABELS))
    with pytest.raises(SettingsError, match="holds its own weights"):
        load_model(ModelSpec.model_validate({"sklearn": model, "weights": model}))


def test_a_file_that_holds_no_estimator_is_refused(tmp_path: Path) -> None:
    for content, name in ((taught(SCALED), "Pipeline"), ({"a": 1}, "dict")):
        with pytest.raises(SettingsError, match=f"holds a {name}, not a scikit-learn estimator"):
            load_model(ModelSpec.model_validate({"sklearn": dumped(tmp_path / "m", content)}))


def test_a_definition_is_known_by_what_decides_the_model() -> None:
    def of(labels: dict[str, Any] = INLINE, **definition: Any) -> str:
        return definition_digest(
            ModelSpec.model_validate(definition), LabelsSpec.model_validate(labels)
        )

    file = {"path": "a.joblib", "sha256": "0" * 64}
    assert len(of(river=SCALED)) == 12
    assert of(river=SCALED) == of(river=f" {SCALED}\n", name="named")
    assert of(sklearn=file) == of(sklearn={**file, "path": "elsewhere.joblib"})
    different = [
        of(river=SCALED),
        of(river=SCALED, labels=LATE),
        of(river=SCALED, labels=LATE | {"learn_from": "transformed"}),
        of(river=SCALED, learn=False),
        of(river=SCALED, classes=[0, 1]),
        of(river=SCALED, classes=[False, True]),
        of(river=SCALED, weights=file),
        of(river="naive_bayes.GaussianNB()"),
        of(factory="package.module:function"),
        of(sklearn=file),
        of(sklearn={**file, "sha256": "1" * 64}),
    ]
    assert len(set(different)) == len(different)


def test_a_model_can_be_wrapped_without_files() -> None:
    learner = wrap(build(SCALED), ModelSpec(river=SCALED), labelled=True, feature_names=None)
    learner.learn(*ROWS[0])
    bare: Any = build(SCALED)
    bare.learn_one(*ROWS[0])
    assert learner.digest() == digest(bare)
