"""Labels on a topic of their own: how they meet their events. An hour is 3,600,000 ms."""

from river import linear_model, naive_bayes, preprocessing

from tests.conformance.scenario import (
    LATE,
    Restart,
    Scenario,
    event,
    label,
    one_by_one,
    raw,
    settings,
)

_ONE = event(1, x=1.0, y=2.0)
_TWO = event(2, x=2.0, y=1.0)
_THREE = event(3, x=0.5, y=1.5)
_BY_FIELD = settings(LATE, events={"timestamp": "when"}, labels={"timestamp": "when"})
_T = 1_600_000_000_000
"""2020: times in fields."""

LATE_LABELS = (
    Scenario(
        "a label is learned when it comes with the features of its prediction",
        LATE,
        one_by_one(_ONE, _TWO, label(1, True), _THREE, label(3, True), label(2, False)),
        ("p1 p2 l1 p3 l3 l2",),
        examples=("learned 1", "learned 3", "learned 2"),
        says={"1": {"waits": True}},
    ),
    Scenario(
        "a label before its event is held and learned right after the prediction",
        LATE,
        one_by_one(label(1, True), label(9, True), _ONE, _TWO),
        ("p1 l1 p2",),
        examples=("held 1", "held 9", "learned 1"),
        counts={"held": 2},
    ),
    Scenario(
        "the first of several labels counts",
        LATE,
        one_by_one(
            _ONE, label(1, True), label(1, False), label(2, False), label(2, True), _TWO,
            label(2, True),
        ),
        ("p1 l1 p2 l2=false",),
        examples=("learned 1", "held 2", "learned 2"),
        counts={"skipped duplicate_label": 3, "held": 1},
    ),
    Scenario(
        "the same id again while the first waits is predicted and the label is the first one's",
        LATE,
        one_by_one(_ONE, event(1, name="again", x=9.0, y=9.0), label(1, True), _TWO),
        ("p1 pagain l1 p2",),
        examples=("learned 1",),
        counts={"repeated_id": 1},
        says={"1": {"waits": True}, "again": {"waits": False}},
    ),
    Scenario(
        "the same id again within a wait of its label is a repeat",
        LATE,
        one_by_one(
            _ONE, label(1, True), event(1, name="again", x=9.0, y=9.0), label(1, False), _TWO
        ),
        ("p1 l1 pagain p2",),
        examples=("learned 1",),
        counts={"repeated_id": 1, "skipped duplicate_label": 1},
    ),
    Scenario(
        "the same id again more than a wait after its label is another event",
        LATE,
        one_by_one(
            event(1, x=1.0, y=2.0, at=0),
            label(1, True, at=60_000),
            event(1, name="anew", x=9.0, y=9.0, at=60_000 + 3_600_001),
            label(1, False, at=60_000 + 3_700_000),
        ),
        ("p1 l1 panew lanew=false",),
        examples=("learned 1", "learned 1"),
    ),
    Scenario(
        "7 and its text are one id",
        LATE,
        one_by_one(event(7, x=1.0, y=2.0), label("7", True), event("8", x=2.0, y=1.0),
                   label(8, False)),
        ("p7 l7 p8 l8",),
        examples=("learned 7", "learned 8"),
    ),
    Scenario(
        "a backlog of both is learned in the order of its times",
        LATE,
        (
            Restart(
                meanwhile=(
                    event(1, x=1.0, y=2.0, at=0),
                    event(2, x=2.0, y=1.0, at=1_000),
                    event(3, x=0.5, y=1.5, at=2_000),
                    event(4, x=0.7, y=1.1, at=3_000),
                    label(1, True, at=1_500),
                    label(2, False, at=2_000),
                    label(4, True, at=2_500),
                    label(3, True, at=9_000),
                )
            ),
        ),
        ("p1 p2 l1 l2 p3 p4 l4 l3",),
        examples=("learned 1", "learned 2", "held 4", "learned 4", "learned 3"),
        counts={"held": 1},
    ),
    Scenario(
        "times in fields order a backlog whatever kafka's are",
        _BY_FIELD,
        (
            Restart(
                meanwhile=(
                    event(1, x=1.0, y=2.0, when=_T, at=50_000),
                    event(2, x=2.0, y=1.0, when=_T + 1_000, at=40_000),
                    event(3, x=0.5, y=1.5, when=_T + 2_000, at=30_000),
                    label(1, True, when=_T + 1_000, at=20_000),
                    label(2, False, when=_T + 1_001, at=10_000),
                    label(3, True, when="no time", at=5_000),
                    label(3, False, when=_T + 3_000, at=0),
                )
            ),
        ),
        ("p1 l1 p2 l2 p3 l3=false",),
        ("labels/0/2 timestamp",),
        examples=("learned 1", "learned 2", "learned 3"),
        says={"1": {"event_time": _T}, "2": {"event_time": _T + 1_000},
              "3": {"event_time": _T + 2_000}},
    ),
    Scenario(
        "what is no label is a dead letter and a tombstone is skipped",
        LATE,
        one_by_one(
            _ONE,
            raw(b"junk", side="labels"),
            raw(b"", side="labels"),
            raw(None, side="labels"),
            raw(b'{"id": 1}', side="labels"),
            raw(b'{"label": true}', side="labels"),
            label(1, "maybe"),
            raw(b"junk"),
            raw(None),
            label(1, True),
        ),
        ("p1 l1=true",),
        (
            "labels/0/0 not_json",
            "labels/0/1 empty",
            "labels/0/3 label_missing",
            "labels/0/4 id",
            "labels/0/5 label_type",
            "events/0/1 not_json",
        ),
        examples=("learned 1",),
        counts={"skipped tombstone": 2},
    ),
    Scenario(
        "the last step learns what it saw where the settings say so",
        settings(LATE, labels={"learn_from": "transformed"}),
        one_by_one(_ONE, _TWO, label(1, True), _THREE, label(2, False), label(3, True), event(
            4, x=1.2, y=0.1)),
        ("p1 p2 l1 p3 l2 l3 p4",),
        examples=("learned 1", "learned 2", "learned 3"),
        transformed=True,
    ),
    Scenario(
        "a late label may be of a class that is new",
        settings(LATE, model={"river": "naive_bayes.GaussianNB()"}),
        one_by_one(
            _ONE, label(1, "red"), _TWO, _THREE, label(3, "blue"), label(2, "green"),
            event(4, x=0.5, y=1.4),
        ),
        ("p1 l1 p2 p3 l3 l2 p4",),
        examples=("learned 1", "learned 3", "learned 2"),
        bare=naive_bayes.GaussianNB,
        says={"1": {"prediction": None, "probabilities": {}},
              "2": {"prediction": "red", "probabilities": {"red": 1.0}}},
    ),
    Scenario(
        "a late label may be a number",
        settings(
            LATE,
            model={"river": "preprocessing.StandardScaler() | linear_model.LinearRegression()"},
        ),
        one_by_one(_ONE, _TWO, label(2, 5.5), label(1, "much"), label(1, -2), _THREE),
        ("p1 p2 l2 l1=-2 p3",),
        ("labels/0/1 label_type",),
        examples=("learned 2", "learned 1"),
        bare=lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    ),
)  # fmt: skip
