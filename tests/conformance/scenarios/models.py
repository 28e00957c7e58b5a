"""Models of every kind, from their first event on."""

from river import anomaly, cluster, drift, linear_model, naive_bayes, preprocessing, tree

from tests.conformance import models
from tests.conformance.scenario import INLINE, Message, Scenario, event, send, settings

_HALF = 60


def _line(number: int) -> Message:
    """One of a line of events: true above the middle of each ten."""
    return event(number, x=number % 10 / 10, y=number % 7 / 7, label=number % 10 > 4)


def _turning(number: int) -> Message:
    """As above; after half of them, what was true is false."""
    at = number % 10 / 10
    return event(number, x=at, y=1.0, label=(at > 0.45) == (number <= _HALF))


_UNLABELLED = settings(INLINE, events={"label": None}, labels={"from": "none"})
_ALL = " ".join(f"pl{number}" for number in range(1, 2 * _HALF + 1))

MODELS = (
    Scenario(
        "a binary classifier begins undecided and learns from the first event on",
        INLINE,
        (send(event(1, x=1.0, y=2.0, label=True)), send(event(2, x=1.0, y=1.0, label=False))),
        ("pl1 pl2",),
        says={"1": {"prediction": False, "probabilities": {"false": 0.5, "true": 0.5}}},
    ),
    Scenario(
        "what comes in one batch is predicted before it is learned",
        INLINE,
        (send(*(_line(number) for number in range(1, 41))),),
        (" ".join(f"pl{number}" for number in range(1, 41)),),
    ),
    Scenario(
        "a classifier of many classes begins with no answer at all",
        settings(INLINE, model={"river": "naive_bayes.GaussianNB()"}),
        (
            send(
                event(1, x=1.0, y=1.0, label="red"),
                event(2, x=1.1, y=1.0, label="green"),
                event(3, x=5.0, y=4.0, label="blue"),
                event(4, x=5.1, y=4.2, label="blue"),
            ),
        ),
        ("pl1 pl2 pl3 pl4",),
        bare=naive_bayes.GaussianNB,
        says={
            "1": {"prediction": None, "probabilities": {}},
            "2": {"prediction": "red", "probabilities": {"red": 1.0}},
        },
    ),
    Scenario(
        "a class that is new late on is learned like the others",
        settings(INLINE, model={"river": "naive_bayes.GaussianNB()"}),
        (
            send(*(event(n, x=n % 2 + n / 100, y=n / 50, label=n % 2) for n in range(1, 21))),
            send(event(21, x=9.0, y=9.0, label=7), event(22, x=9.1, y=9.2, label=7)),
            send(event(23, x=9.2, y=9.1, label=7)),
        ),
        (" ".join(f"pl{n}" for n in range(1, 24)),),
        bare=naive_bayes.GaussianNB,
    ),
    Scenario(
        "a regressor answers with a number",
        settings(
            INLINE,
            model={"river": "preprocessing.StandardScaler() | linear_model.LinearRegression()"},
        ),
        (send(*(event(n, x=n / 2, y=1 / n, label=3.0 * n) for n in range(1, 11))),),
        (" ".join(f"pl{n}" for n in range(1, 11)),),
        bare=lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        says={"1": {"prediction": 0.0}},
    ),
    Scenario(
        "an anomaly detector learns from every event and gives a score",
        settings(
            _UNLABELLED,
            model={"river": "anomaly.HalfSpaceTrees(n_trees=5, height=3, window_size=4, seed=1)"},
        ),
        (send(*(event(n, x=n % 3 / 10, y=0.5) for n in range(1, 12)), event(12, x=0.99, y=0.01)),),
        (" ".join(f"pl{n}" for n in range(1, 13)),),
        bare=lambda: anomaly.HalfSpaceTrees(n_trees=5, height=3, window_size=4, seed=1),
        says={"1": {"prediction": None}, "12": {"prediction": None}},
    ),
    Scenario(
        "an anomaly filter says what an anomaly is",
        settings(
            _UNLABELLED,
            model={
                "river": "anomaly.ThresholdFilter(anomaly.HalfSpaceTrees(n_trees=5, height=3, "
                "window_size=4, seed=1), threshold=0.5)"
            },
        ),
        (send(*(event(n, x=n % 3 / 10, y=0.5) for n in range(1, 12)), event(12, x=0.99, y=0.01)),),
        (" ".join(f"pl{n}" for n in range(1, 13)),),
        bare=lambda: anomaly.ThresholdFilter(
            anomaly.HalfSpaceTrees(n_trees=5, height=3, window_size=4, seed=1), threshold=0.5
        ),
    ),
    Scenario(
        "a clusterer finds the cluster of each event",
        settings(_UNLABELLED, model={"river": "cluster.KMeans(n_clusters=2, seed=1)"}),
        (send(*(event(n, x=n % 2 * 10.0, y=n / 10) for n in range(1, 13))),),
        (" ".join(f"pl{n}" for n in range(1, 13)),),
        bare=lambda: cluster.KMeans(n_clusters=2, seed=1),
    ),
    Scenario(
        "a tree that adapts forgets what was true before a drift",
        settings(
            INLINE,
            model={"river": "tree.HoeffdingAdaptiveTreeClassifier(grace_period=10, seed=1)"},
        ),
        (
            send(*map(_turning, range(1, _HALF + 1))),
            send(*map(_turning, range(_HALF + 1, 2 * _HALF + 1))),
        ),
        (_ALL,),
        bare=lambda: tree.HoeffdingAdaptiveTreeClassifier(grace_period=10, seed=1),
    ),
    Scenario(
        "a model that begins anew at a drift does so at the same event",
        settings(
            INLINE,
            model={
                "river": "drift.DriftRetrainingClassifier(model=naive_bayes.GaussianNB(), "
                "drift_detector=drift.binary.DDM(warm_start=10))"
            },
        ),
        (
            send(*map(_turning, range(1, _HALF + 1))),
            send(*map(_turning, range(_HALF + 1, 2 * _HALF + 1))),
        ),
        (_ALL,),
        bare=lambda: drift.DriftRetrainingClassifier(
            model=naive_bayes.GaussianNB(), drift_detector=drift.binary.DDM(warm_start=10)
        ),
    ),
    Scenario(
        "a static model predicts and learns nothing",
        settings(INLINE, labels={"from": "none"}, events={"label": None},
                 model={"sklearn": models.threshold_tree}),
        (send(event(1, x=0.1, y=5.0), event(2, x=0.9, y=-5.0)), send(event(3, x=0.2, y=0.0))),
        ("p1 p2 p3",),
        bare=models.threshold_tree,
        says={
            "1": {"prediction": False, "probabilities": {"false": 1.0, "true": 0.0}},
            "2": {"prediction": True, "probabilities": {"false": 0.0, "true": 1.0}},
            "3": {"prediction": False},
        },
        check_digest=False,
    ),
    Scenario(
        "an estimator of scikit-learn learns row by row",
        settings(
            INLINE,
            model={"factory": "tests.conformance.models:sgd", "classes": [False, True]},
        ),
        (send(*map(_line, range(1, 21))), send(_line(21))),
        (" ".join(f"pl{n}" for n in range(1, 22)),),
        bare=models.sgd,
        says={"1": {"prediction": None}},
        check_digest=False,
    ),
    Scenario(
        "a model that is told not to learn stays as it is",
        settings(INLINE, model={"river": "linear_model.LogisticRegression()",
                                "weights": models.taught, "learn": False}),
        (send(event(1, x=1.0, y=2.0, label=True)), send(event(2, x=1.0, y=2.0, label=True))),
        ("p1 p2",),
        bare=models.taught,
        check_digest=False,
    ),
)  # fmt: skip
