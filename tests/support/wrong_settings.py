"""Wrong settings files, as a user may write them."""

from typing import Any, NamedTuple

import yaml

GOOD = """\
app: fraud
kafka: {bootstrap.servers: "127.0.0.1:1"}
events: {topic: sites, id: id, features: [a, b], label: y}
labels: {from: event}
model: {river: linear_model.LogisticRegression()}
"""
LATE: dict[str, Any] = {
    "events": {"topic": "sites", "id": "id", "features": ["a", "b"]},
    "labels": {"from": "topic", "topic": "verdicts", "wait": "7d"},
}


class Wrong(NamedTuple):
    """A wrong file, and what has to be said of it."""

    name: str
    text: str
    words: tuple[str, ...]


def changed(**sections: Any) -> str:
    """The good file with some sections in place of its own."""
    return yaml.safe_dump({**yaml.safe_load(GOOD), **sections}, sort_keys=False)


def events(**keys: Any) -> str:
    """The good file with more or other keys under `events`."""
    return changed(events={**yaml.safe_load(GOOD)["events"], **keys})


def late(**keys: Any) -> str:
    """A file with labels from a topic, with more or other keys under `labels`."""
    return changed(**{**LATE, "labels": {**LATE["labels"], **keys}})


def kafka(**keys: Any) -> str:
    """The good file with more properties of Kafka; underscores stand for dots."""
    named = {key.replace("_", "."): value for key, value in keys.items()}
    return changed(kafka={"bootstrap.servers": "127.0.0.1:1", **named})


def without(section: str) -> str:
    """The good file without a section."""
    document = yaml.safe_load(GOOD)
    del document[section]
    return yaml.safe_dump(document, sort_keys=False)


FILES = [
    Wrong("not YAML", "app: [fraud", ("is not YAML", "line 1")),
    Wrong("a tab", "app: fraud\nkafka:\n\tx: 1\n", ("is not YAML", "line 3")),
    Wrong("a key twice", GOOD + "app: other\n", ("the key app stands twice", "line 6")),
    Wrong("a key twice in a section", GOOD + "log: {level: info, level: debug}\n",
          ("the key level stands twice",)),
    Wrong("a date that is none", GOOD + "instance: !!timestamp 2026-02-30\n",
          ("is not YAML", "quotes")),
    Wrong("nested too deep", "[" * 5_000, ("nested too deep",)),
    Wrong("an unknown alias", kafka().replace("127.0.0.1:1", "*hunter2"), ("line 3", "quotes")),
    Wrong("an unknown tag", GOOD.replace("fraud", "!hunter2 fraud"), ("line 1", "quotes")),
    Wrong("an empty file", "", ("has to hold keys and values",)),
    Wrong("a list", "- app\n", ("has to hold keys and values",)),
    Wrong("a number as key", GOOD + "1: x\n", ("unknown key 1",)),
    Wrong("a word as key that YAML 1.1 takes for true", GOOD + "on: x\n", ("unknown key on",)),
    Wrong("a key of the library", GOOD + "_env_file: x\n", ("unknown key _env_file",)),
    Wrong("an unknown section", GOOD + "modle: x\n", ("unknown key modle", "did you mean model?")),
    Wrong("an unknown key", events(topik="x"), ("unknown key events.topik", "did you mean topic?")),
    Wrong("an unlike key", GOOD + "http: {xyzzy: 1}\n", ("unknown key http.xyzzy", "there are: ")),
    Wrong("no app", without("app"), ("app is missing",)),
    Wrong("no kafka", without("kafka"), ("kafka is missing",)),
    Wrong("no model", without("model"), ("model is missing",)),
    Wrong("blanks in the app", changed(app="my app"), ("app is wrong", "letters, digits")),
    Wrong("a number as app", changed(app=5), ("app is wrong", "text")),
    Wrong("an unknown guarantee", changed(processing_guarantee="twice"),
          ("processing_guarantee", "'exactly_once' or 'at_least_once'")),
    Wrong("a section that is none", changed(labels="event"), ("labels is wrong", "a section")),
    Wrong("no broker", changed(kafka={}), ("kafka.bootstrap.servers is missing",)),
    Wrong("an empty broker", changed(kafka={"bootstrap.servers": ""}),
          ("kafka.bootstrap.servers is missing",)),
    Wrong("an owned property", kafka(group_id="x"), ("kafka.group.id belongs to", "set app")),
    Wrong("another owned property", kafka(acks=1), ("kafka.acks belongs to", "leave it out")),
    Wrong("a nested property", kafka(sasl={"password": "hunter2"}), ("kafka.sasl", "text")),
    Wrong("a missing secret file", kafka(sasl_password={"file": "none.txt"}),
          ("kafka.sasl.password", "none.txt cannot be read")),
    Wrong("blanks in a topic", events(topic="my topic"), ("events.topic is wrong", "letters")),
    Wrong("no topic", changed(events={"label": "y"}), ("events.topic is missing",)),
    Wrong("one topic for two things", events(topic="fraud.predictions"),
          ("events.topic and topics.predictions are both fraud.predictions",)),
    Wrong("a feature twice", events(features=["a", "b", "a"]), ("features names a twice",)),
    Wrong("no features", events(features=[]), ("events.features is empty",)),
    Wrong("features as text", events(features="a, b"), ("events.features", "a list", "'all'")),
    Wrong("a number as feature", events(features=["a", 1]), ("events.features.1", "text")),
    Wrong("an unknown choice of features", events(features={"all_butt": ["x"]}),
          ("unknown key events.features.all_butt", "did you mean all_but?")),
    Wrong("a path with a hole", events(features=["a..b"]), ("'a..b' is not a path",)),
    Wrong("an empty path", events(id=""), ("events.id: '' is not a path",)),
    Wrong("the label as a feature", events(features=["a", "y"]),
          ("events.label is y", "take it out of the features")),
    Wrong("the id as a feature", events(features=["a", "id"]), ("events.id is id", "take it out")),
    Wrong("bounds for no feature", events(bounds={"c": [0, 1]}), ("events.bounds.c is not among",)),
    Wrong("bounds the wrong way", events(bounds={"a": [1, 0]}), ("events.bounds.a", "exchange")),
    Wrong("one bound", events(bounds={"a": [1]}), ("events.bounds.a.1 is missing",)),
    Wrong("three bounds", events(bounds={"a": [1, 2, 3]}), ("events.bounds.a", "3 items")),
    Wrong("a bound that is no number", events(bounds={"a": [float("nan"), 1]}),
          ("events.bounds.a.0", "finite number")),
    Wrong("an unknown time unit", events(timestamp="t", timestamp_unit="minutes"),
          ("events.timestamp_unit", "'s', 'ms', 'us' or 'ns'")),
    Wrong("no schema file", events(schema="none.json"), ("events.schema", "cannot be read")),
    Wrong("a schema of no known type", events(schema={"type": "nonsense"}),
          ("events.schema is not a JSON Schema", "nonsense")),
    Wrong("a schema from elsewhere", events(schema={"$ref": "https://example.invalid/x.json"}),
          ("events.schema is not a JSON Schema", "is not fetched")),
    Wrong("no label field", events(label=None), ("events.label is missing",)),
    Wrong("a label field too much", changed(labels={"from": "none"}), ("events.label only means",)),
    Wrong("labels from nowhere", changed(labels={"from": "kafka"}), ("labels.from", "'topic'")),
    Wrong("no labels topic", changed(**{**LATE, "labels": {"from": "topic", "wait": "7d"}}),
          ("labels.topic is missing",)),
    Wrong("no wait", late(wait=None), ("labels.wait is missing", "such as 7d")),
    Wrong("a wait in words", late(wait="7 days"), ("labels.wait: '7 days' is not a duration",)),
    Wrong("a wait of true", late(wait=True), ("labels.wait", "no durations")),
    Wrong("a negative wait", late(wait=-5), ("labels.wait is wrong", "greater than or equal to 0")),
    Wrong("a wait of centuries", late(wait="99999w"), ("labels.wait is wrong", "less than or")),
    Wrong("a wait for inline labels", changed(labels={"from": "event", "wait": "7d"}),
          ("labels.wait only means something with labels.from: topic",)),
    Wrong("an unknown timeout", late(on_timeout="forget"), ("labels.on_timeout", "'drop'")),
    Wrong("an assumed NaN", late(on_timeout={"assume": float("nan")}),
          ("labels.on_timeout.assume", "finite number")),
    Wrong("no id for late labels", changed(**{**LATE, "events": {"topic": "sites"}}),
          ("events.id is missing", "joined by it")),
    Wrong("late labels without features", changed(**LATE, predictions={"features": False}),
          ("predictions.features cannot be false",)),
    Wrong("label values without quotes", changed(labels={"from": "event", "values": {True: 1}}),
          ("labels.values", "quotes")),
    Wrong("two models", changed(model={"river": "x", "factory": "a:b"}), ("exactly one of",)),
    Wrong("no definition", changed(model={"name": "x"}), ("exactly one of model.river",)),
    Wrong("a short checksum", changed(model={"sklearn": {"path": "m.joblib", "sha256": "abc"}}),
          ("model.sklearn.sha256", "64 digits")),
    Wrong("an unpinned file", changed(model={"sklearn": {"path": "m.joblib"}}),
          ("model.sklearn.sha256 is missing",)),
    Wrong("a class twice", changed(model={"river": "x", "classes": ["a", "a"]}),
          ("model.classes names a class twice",)),
    Wrong("classes that are one key in JSON", changed(model={"river": "x", "classes": ["1", 1]}),
          ("model.classes holds the text 1 and the number 1, which are one key",)),
    Wrong("a class and its word", changed(model={"river": "x", "classes": [True, "true"]}),
          ("model.classes holds the boolean true and the text true, which are one key",)),
    Wrong("values that are one key in JSON",
          changed(labels={"from": "event", "values": {"x": 1.5, "y": "1.5"}}),
          ("labels.values holds the number 1.5 and the text 1.5, which are one key",)),
    Wrong("no batch", changed(batch={"max_records": 0}), ("batch.max_records",)),
    Wrong("a ratio above 1", changed(dead_letters={"stop_ratio": 1.5}),
          ("dead_letters.stop_ratio",)),
    Wrong("a port that is none", changed(http={"port": 70_000}), ("http.port", "65535")),
    Wrong("a log level that is none", changed(log={"level": "loud"}), ("log.level", "'debug'")),
    Wrong("a schema with an integer beyond 64 bits",
          events(schema={"maximum": 10**30}), ("JSON cannot hold",)),
    Wrong("a schema of over a megabyte",
          events(schema={"description": "x" * 1_000_000}), ("events.schema is too large",)),
    Wrong("a NUL in a property of Kafka",
          changed(kafka={"bootstrap.servers": "127.0.0.1:1", "client.id": "a\0b"}),
          ("kafka.client.id holds a NUL character",)),
    Wrong("a NUL in the path of a secret",
          changed(kafka={"bootstrap.servers": "x:1", "sasl.password": {"file": "a\0b"}}),
          ("kafka.sasl.password", "holds a NUL character, which no path can")),
    Wrong("a NUL in the path of a schema", events(schema="a\0b.json"),
          ("events.schema", "holds a NUL character")),
    Wrong("a NUL in the path of a model",
          changed(model={"sklearn": {"path": "a\0b", "sha256": "0" * 64}}),
          ("model.sklearn.path", "holds a NUL character")),
]  # fmt: skip
"""Found by `load_settings`."""

NO_SHA = "0" * 64
MODELS = [
    Wrong("an assumed label that the model cannot learn",
          late(on_timeout={"assume": "perhaps"}),
          ("labels.on_timeout.assume", "cannot learn it")),
    Wrong("an assumed label that is no class",
          changed(**{**LATE, "labels": {**LATE["labels"], "on_timeout": {"assume": "c"}}},
                  model={"river": "naive_bayes.GaussianNB()", "classes": ["a", "b"]}),
          ("labels.on_timeout.assume", "none of model.classes", "name one of its labels")),
    Wrong("classes of text for a model that knows true and false",
          changed(model={"river": "linear_model.LogisticRegression()", "classes": ["no", "yes"]}),
          ("model.classes: the model cannot learn 'no'", "text is no boolean, 0 or 1")),
    Wrong("a float as a class",
          changed(model={"river": "naive_bayes.GaussianNB()", "classes": [0.5, 1.5]}),
          ("model.classes: the model cannot learn 0.5", "a float is no class")),
    Wrong("one class under two names",
          changed(model={"river": "linear_model.LogisticRegression()", "classes": [0, False]}),
          ("model.classes names a class twice", "0 and 1 are false and true")),
    Wrong("classes of a regressor",
          changed(model={"river": "linear_model.LinearRegression()", "classes": [0, 1]}),
          ("model.classes", "(regressor) has none", "leave it out")),
    Wrong("values of text for a model that knows true and false",
          changed(labels={"from": "event", "values": {"j": "yes", "n": "no"}}),
          ("labels.values.j: the model cannot learn 'yes'", "map to one of its labels")),
    Wrong("a value that is none of the classes",
          changed(labels={"from": "event", "values": {"x": "z"}},
                  model={"river": "naive_bayes.GaussianNB()", "classes": ["a", "b"]}),
          ("labels.values.x: the model cannot learn 'z'", "none of model.classes")),
    Wrong("text as a value for a regressor",
          changed(labels={"from": "event", "values": {"x": "z"}},
                  model={"river": "linear_model.LinearRegression()"}),
          ("labels.values.x: the model cannot learn 'z'", "text is no number")),
    Wrong("one class for partial_fit",
          changed(model={"factory": "sklearn.linear_model:SGDClassifier", "classes": [1]}),
          ("model.classes: SGDClassifier needs two classes at least",)),
    Wrong("classes of two types for partial_fit",
          changed(model={"factory": "sklearn.linear_model:SGDClassifier", "classes": ["a", 1]}),
          ("model.classes: SGDClassifier takes classes of one type",)),
    Wrong("naive Bayes that would never have an answer",
          changed(model={"factory": "sklearn.naive_bayes:GaussianNB", "classes": [0, 1]}),
          ("GaussianNB cannot begin event by event", "use River's naive_bayes.GaussianNB()")),
    Wrong("more models than there is memory for",
          changed(model={"river": "ensemble.BaggingClassifier(linear_model.LogisticRegression(), "
                                  "n_models=1000000000)"}),
          ("model.river", "n_models may be 1,000 at most")),
    Wrong("an expression that cannot be parsed", changed(model={"river": "linear_model."}),
          ("model.river is not an expression",)),
    Wrong("an import", changed(model={"river": "__import__('os')"}), ("model.river",)),
    Wrong("a class that River has not",
          changed(model={"river": "linear_model.LogisticRegresion()"}),
          ("did you mean LogisticRegression?",)),
    Wrong("a class and no model", changed(model={"river": "linear_model.LogisticRegression"}),
          ("with parentheses",)),
    Wrong("a parameter that River has not",
          changed(model={"river": "linear_model.LogisticRegression(l3=1)"}),
          ("there is no parameter l3",)),
    Wrong("a model that predicts nothing",
          changed(model={"river": "preprocessing.StandardScaler()"}),
          ("model", "StandardScaler")),
    Wrong("a factory that is none", changed(model={"factory": "nonsense"}), ("package.module:",)),
    Wrong("a factory in no module", changed(model={"factory": "no_such_package.models:make"}),
          ("no_such_package.models cannot be imported",)),
    Wrong("a factory that does not exist", changed(model={"factory": "json:make"}),
          ("json has no function make",)),
    Wrong("a factory that makes no model", changed(model={"factory": "os:getcwd"}),
          ("os:getcwd returned a str, not a model",)),
    Wrong("a file that is another one",
          changed(model={"sklearn": {"path": "settings.yaml", "sha256": NO_SHA}}),
          ("model.sklearn.sha256", "but the settings pin")),
    Wrong("a model file that is not there",
          changed(model={"sklearn": {"path": "none.joblib", "sha256": NO_SHA}}),
          ("model.sklearn.path", "none.joblib", "No such file")),
    Wrong("weights that are not there",
          changed(model={"river": "linear_model.LogisticRegression()",
                         "weights": {"path": "none.pickle", "sha256": NO_SHA}}),
          ("model.weights.path", "none.pickle")),
    Wrong("transformed features of a bare model", late(learn_from="transformed"),
          ("labels.learn_from: transformed needs a River pipeline",)),
    Wrong("late labels for a model that changes when it predicts",
          changed(**LATE, model={
              "river": "model_selection.BanditClassifier([linear_model.LogisticRegression(), "
                       "linear_model.Perceptron()], metric=metrics.Accuracy(), "
                       "policy=bandit.EpsilonGreedy(0.1, seed=1))"}),
          ("labels.from: topic cannot work with BanditClassifier",)),
    Wrong("labels for a model that takes none", changed(model={"river": "cluster.KMeans()"}),
          ("KMeans learns from events alone", "labels.from: none")),
    Wrong("no labels for a model that needs them",
          changed(events={"topic": "sites", "id": "id"}, labels={"from": "none"}),
          ("LogisticRegression learns from labels",)),
    Wrong("a model without weights that may not learn",
          changed(model={"river": "linear_model.LogisticRegression()", "learn": False}),
          ("without learning LogisticRegression knows nothing",)),
    Wrong("a NUL in a River expression",
          changed(model={"river": "linear_model.LogisticRegression()\0"}), ("model.river",)),
    Wrong("a NUL in a factory", changed(model={"factory": "os\0x:getcwd"}), ("model.factory",)),
]  # fmt: skip
"""Found once the model is built."""
