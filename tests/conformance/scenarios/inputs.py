"""What is wrong with an event, and what comes of it: labels inside the events."""

from typing import Any

from river import naive_bayes

from tests.conformance.scenario import INLINE, Scenario, event, raw, send, settings

_GOOD: dict[str, Any] = {"x": 1.0, "y": 2.0}
_FIRST = event(1, x=1.0, y=2.0, label=True)
_LAST = event(99, x=2.0, y=1.0, label=False)

INPUTS = (
    Scenario(
        "an event without its label is a dead letter",
        INLINE,
        (send(_FIRST, event(2, **_GOOD), event(3, **_GOOD, label=None), _LAST),),
        ("pl1 pl99",),
        ("events/0/1 label_missing", "events/0/2 label_missing"),
    ),
    Scenario(
        "an event without its label is predicted where the settings say so",
        settings(INLINE, labels={"missing": "predict"}),
        (send(_FIRST, event(2, **_GOOD), event(3, **_GOOD, label=None), _LAST),),
        ("pl1 p2 p3 pl99",),
        counts={"unlabelled": 2},
    ),
    Scenario(
        "what is no JSON object is a dead letter and disturbs nothing",
        INLINE,
        (
            send(
                _FIRST,
                raw(b"hello"),
                raw(b'{"id": 2, "x": NaN, "y": 1, "label": true}'),
                raw(b'{"id": 2, "x": 1e400, "y": 1, "label": true}'),
                raw(b"\xff\xfe"),
                raw(b"[1, 2]"),
                raw(b"null"),
                _LAST,
            ),
        ),
        ("pl1 pl99",),
        (
            "events/0/1 not_json",
            "events/0/2 not_json",
            "events/0/3 not_json",
            "events/0/4 not_json",
            "events/0/5 not_an_object",
            "events/0/6 not_an_object",
        ),
    ),
    Scenario(
        "a tombstone is skipped and an empty value is a dead letter",
        INLINE,
        (send(_FIRST, raw(None), raw(b""), raw(None, key=None), _LAST),),
        ("pl1 pl99",),
        ("events/0/2 empty",),
        counts={"skipped tombstone": 2},
    ),
    Scenario(
        "values that would spoil the model never reach it",
        INLINE,
        (
            send(
                _FIRST,
                event(2, x=1e300, y=1.0, label=True),
                event(3, x=[1.0], y=1.0, label=True),
                event(4, **_GOOD, label="maybe"),
                event(5, **_GOOD, label=0.5),
                _LAST,
            ),
        ),
        ("pl1 pl99",),
        (
            "events/0/1 feature_value",
            "events/0/2 feature_type",
            "events/0/3 label_type",
            "events/0/4 label_type",
        ),
    ),
    Scenario(
        "an id has to be text or an integer",
        INLINE,
        (
            send(
                _FIRST,
                raw(b'{"x": 1, "y": 1, "label": true}'),
                raw(b'{"id": "", "x": 1, "y": 1, "label": true}'),
                raw(b'{"id": 1.5, "x": 1, "y": 1, "label": true}'),
                raw(b'{"id": true, "x": 1, "y": 1, "label": true}'),
                event("text", x=1, y=1, label=True),
                _LAST,
            ),
        ),
        ("pl1 pltext pl99",),
        ("events/0/1 id", "events/0/2 id", "events/0/3 id", "events/0/4 id"),
    ),
    Scenario(
        "a schema decides what is an event",
        settings(
            INLINE,
            events={"schema": {"properties": {"kind": {"const": "web"}}, "required": ["kind"]}},
        ),
        (
            send(
                event(1, **_GOOD, label=True, kind="web"),
                event(2, **_GOOD, label=True, kind="app"),
                event(3, **_GOOD, label=True),
                event(4, **_GOOD, label=False, kind="web"),
            ),
        ),
        ("pl1 pl4",),
        ("events/0/1 schema", "events/0/2 schema"),
        counts={"unknown_fields": 2},
    ),
    Scenario(
        "bounds hold at both ends and include them",
        settings(INLINE, events={"bounds": {"x": [0, 10], "y": [None, 5]}}),
        (
            send(
                event(1, x=0, y=-1e9, label=True),
                event(2, x=10, y=5, label=False),
                event(3, x=-0.001, y=0, label=True),
                event(4, x=10.001, y=0, label=True),
                event(5, x=5, y=5.001, label=True),
            ),
        ),
        ("pl1 pl2",),
        ("events/0/2 bounds", "events/0/3 bounds", "events/0/4 bounds"),
    ),
    Scenario(
        "a feature that is missing is left out for a river model",
        INLINE,
        (
            send(
                _FIRST,
                event(2, x=1.0, label=True),
                event(3, x=None, y=3.0, label=False),
                event(4, label=True),
                _LAST,
            ),
        ),
        ("pl1 pl2 pl3 pl99",),
        ("events/0/3 missing_feature",),
        features={"3": {"y": 3.0}},
    ),
    Scenario(
        "a feature that is missing is a dead letter where the settings say so",
        settings(INLINE, events={"missing": "dead_letter"}),
        (send(_FIRST, event(2, x=1.0, label=True), event(3, x=None, y=3.0, label=True), _LAST),),
        ("pl1 pl99",),
        ("events/0/1 missing_feature", "events/0/2 missing_feature"),
    ),
    Scenario(
        "fields that nobody named are counted",
        INLINE,
        (send(_FIRST, event(2, **_GOOD, label=True, note="n", more=[1]), _LAST),),
        ("pl1 pl2 pl99",),
        counts={"unknown_fields": 2},
    ),
    Scenario(
        "fields that nobody named are dead letters where the settings say so",
        settings(INLINE, events={"unknown": "dead_letter"}),
        (send(_FIRST, event(2, **_GOOD, label=True, note="n"), _LAST),),
        ("pl1 pl99",),
        ("events/0/1 unknown_field",),
    ),
    Scenario(
        "a class that the settings do not list is a dead letter",
        settings(
            INLINE, model={"river": "naive_bayes.GaussianNB()", "classes": ["red", "green"]}
        ),
        (
            send(
                event(1, **_GOOD, label="red"),
                event(2, **_GOOD, label="blue"),
                event(3, x=2.0, y=2.0, label="green"),
            ),
        ),
        ("pl1 pl3",),
        ("events/0/1 label_class",),
        bare=naive_bayes.GaussianNB,
    ),
    Scenario(
        "0 and 1 are false and true to a model of two classes",
        INLINE,
        (send(event(1, **_GOOD, label=1), event(2, x=2.0, y=1.0, label=0), _LAST),),
        ("p1 l1=true p2 l2=false pl99",),
    ),
    Scenario(
        "labels are learned as the settings map them",
        settings(INLINE, labels={"values": {"yes": True, "no": False, "2": True}}),
        (
            send(
                event(1, **_GOOD, label="yes"),
                event(2, x=2.0, y=1.0, label="no"),
                event(3, x=3.0, y=1.0, label=2),
                event(4, **_GOOD, label="perhaps"),
            ),
        ),
        ("p1 l1=true p2 l2=false p3 l3=true",),
        ("events/0/3 label_type",),
    ),
)  # fmt: skip
