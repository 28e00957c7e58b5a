"""Where things stand in a message: fields, times, headers, keys, partitions, sizes."""

from typing import Any

from river import compose, linear_model, preprocessing

from tests.conformance.scenario import (
    BEGIN_MS,
    INLINE,
    LATE,
    SCALED,
    Scenario,
    event,
    label,
    one_by_one,
    raw,
    send,
    settings,
)

_GOOD: dict[str, Any] = {"x": 1.0, "y": 2.0, "label": True}
_HEADERS: list[tuple[str, bytes | None]] = [("trace", b"\x00\x01"), ("trace", b"2"), ("none", None)]
_NESTED = settings(
    INLINE, events={"id": "head.id", "features": ["who.x", "who.y"], "label": "tail.truth"}
)


def _plain() -> compose.Pipeline:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


FIELDS = (
    Scenario(
        "id features and label are found where the settings say",
        _NESTED,
        (
            send(
                event(0, name="a", head={"id": "a"}, who={"x": 1, "y": 2}, tail={"truth": True}),
                event(0, name="b", head={"id": "b"}, who={"x": 2, "y": 1}, tail={"truth": False}),
                event(0, name="c", head={"id": "c"}, who={"x": 2, "y": 1}, tail=7),
            ),
        ),
        ("pa la=true pb lb=false",),
        ("events/0/2 label_missing",),
        features={"a": {"who.x": 1, "who.y": 2}, "b": {"who.x": 2, "who.y": 1}},
        says={"a": {"id": "a"}, "b": {"id": "b"}},
        counts={"unknown_fields": 2},
    ),
    Scenario(
        "every field but some is a feature in the order of the event",
        settings(INLINE, events={"features": {"all_but": ["note"]}},
                 model={"river": "preprocessing.StandardScaler() | "
                                 "linear_model.LogisticRegression()"}),
        (
            send(
                event(1, y=2.0, note="n", x=1.0, z={"w": 3.0}, label=True),
                event(2, x=2.0, y=2.5, z={"w": 1.0}, label=False),
            ),
        ),
        ("pl1 pl2",),
        bare=_plain,
        features={
            "1": {"y": 2.0, "x": 1.0, "z.w": 3.0},
            "2": {"x": 2.0, "y": 2.5, "z.w": 1.0},
        },
    ),
    Scenario(
        "without an id the source position is the id",
        settings(INLINE, events={"id": None}),
        (send(event(1, **_GOOD), event(1, name="2", x=2.0, y=1.0, label=False)),),
        ("pl1 pl2",),
        says={"1": {"id": "{events}-0-0"}, "2": {"id": "{events}-0-1"}},
        counts={"unknown_fields": 2},
    ),
    Scenario(
        "a mapped time is the time of the event whatever kafka says",
        settings(INLINE, events={"timestamp": "when", "timestamp_unit": "s"}),
        (
            send(
                event(1, **_GOOD, when=1_500_000_000),
                event(2, **_GOOD, when="2017-07-14T02:40:00.250Z"),
                event(3, **_GOOD, when="never"),
                event(4, **_GOOD, when=-5),
                event(5, **_GOOD),
                event(6, **_GOOD, when=1_500_000_000.5),
            ),
        ),
        ("pl1 pl2 pl6",),
        ("events/0/2 timestamp", "events/0/3 timestamp", "events/0/4 timestamp"),
        says={
            "1": {"event_time": 1_500_000_000_000},
            "2": {"event_time": 1_500_000_000_250},
            "6": {"event_time": 1_500_000_000_500},
        },
    ),
    Scenario(
        "without a mapped time kafka's timestamp is the time of the event",
        INLINE,
        (send(event(1, **_GOOD, at=77), event(2, **_GOOD, at=5)),),
        ("pl1 pl2",),
        says={"1": {"event_time": BEGIN_MS + 77}, "2": {"event_time": BEGIN_MS + 5}},
    ),
    Scenario(
        "headers go to the prediction and to the dead letter",
        INLINE,
        (
            send(
                event(1, **_GOOD, headers=_HEADERS),
                raw(b"bad", headers=_HEADERS),
                raw(b"bad too", key=None, headers=[("millstream-stage", b"no")]),
                event(2, **_GOOD),
            ),
        ),
        ("pl1 pl2",),
        ("events/0/1 not_json", "events/0/2 not_json"),
    ),
    Scenario(
        "a message that is too large is cut in its dead letter",
        INLINE,
        (
            send(
                event(1, **_GOOD),
                event(2, **_GOOD, note="n" * 900_000),
                raw(b"[" + b"1," * 499_600 + b"1]"),
                event(3, **_GOOD, headers=[("large", b"h" * 999_900)]),
                event(4, **_GOOD),
            ),
        ),
        ("pl1 pl2 pl4",),
        ("events/0/2 not_an_object", "events/0/3 too_large"),
        counts={"unknown_fields": 1},
    ),
    Scenario(
        "each partition has a model of its own",
        INLINE,
        (
            send(
                event(1, **_GOOD),
                event(2, x=2.0, y=1.0, label=False, partition=1),
                event(3, x=5.0, y=1.0, label=False),
                raw(b"bad"),
                event(4, x=0.5, y=3.0, label=True, partition=1),
                event(5, x=0.6, y=3.5, label=True, partition=1),
            ),
        ),
        ("pl1 pl3", "pl2 pl4 pl5"),
        ("events/0/2 not_json",),
        partitions=2,
    ),
    Scenario(
        "a label joins an event of its own partition alone",
        LATE,
        one_by_one(
            event(1, x=1.0, y=2.0),
            event(2, x=2.0, y=1.0, partition=1),
            label(2, False),
            label(1, True),
            label(2, False, partition=1),
        ),
        ("p1 l1", "p2 l2"),
        examples=("held 2", "learned 1", "learned 2"),
        counts={"held": 1},
        partitions=2,
    ),
    Scenario(
        "late labels are read where the settings say",
        settings(
            LATE,
            events={"id": "who.id"},
            labels={
                "id": "case",
                "label": "verdict.says",
                "values": {"guilty": True, "not": False},
            },
        ),
        one_by_one(
            event(0, name="a", who={"id": "a"}, x=1.0, y=2.0),
            event(0, name="b", who={"id": "b"}, x=2.0, y=1.0),
            label(0, None, case="b", verdict={"says": "guilty"}),
            label(0, None, case="a", verdict={"says": "perhaps"}),
            label(0, None, case="a", verdict={"says": "not"}),
        ),
        ("pa pb lb=true la=false",),
        ("labels/0/1 label_type",),
        examples=("learned b", "learned a"),
        says={"a": {"id": "a"}, "b": {"id": "b"}},
        counts={"unknown_fields": 2},
    ),
    Scenario(
        "predictions without features are the same otherwise",
        settings(INLINE, predictions={"features": False}),
        (send(event(1, **_GOOD), event(2, **_GOOD)),),
        ("pl1 pl2",),
        says={"1": {"features": "(none)"}, "2": {"features": "(none)"}},
    ),
    Scenario(
        "predictions carry the features as the model saw them and its name",
        settings(INLINE, model={"river": SCALED, "name": "fraud-7"}),
        (send(event(1, y=2, x=1.0, label=True, more="m")),),
        ("pl1",),
        features={"1": {"x": 1.0, "y": 2}},
        says={"1": {"features": {"x": 1.0, "y": 2}}},
        counts={"unknown_fields": 1},
    ),
)  # fmt: skip
