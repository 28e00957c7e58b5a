"""Labels on a topic of their own: what has waited too long. An hour is 3,600,000 ms."""

from tests.conformance.scenario import (
    LATE,
    LetPass,
    Scenario,
    event,
    label,
    one_by_one,
    settings,
)

_HOUR = 3_600_000
_ONE = event(1, x=1.0, y=2.0, at=0)
_TWO = event(2, x=2.0, y=1.0)
_THREE = event(3, x=0.5, y=1.5)
_NEXT = label("next", True, at=_HOUR + 60_000)
"""Shows that the stream has come past an hour."""
_FEW = settings(LATE, labels={"max_waiting": 2})

WAITS = (
    Scenario(
        "a prediction whose label does not come expires on the stream",
        LATE,
        one_by_one(_ONE, _NEXT, event(2, x=2.0, y=1.0)),
        ("p1 p2",),
        examples=("expired 1", "held next"),
        counts={"expired drop": 1, "held": 1},
    ),
    Scenario(
        "a label at the deadline joins",
        LATE,
        one_by_one(_ONE, label(1, True, at=_HOUR)),
        ("p1 l1",),
        examples=("learned 1",),
    ),
    Scenario(
        "a label a millisecond after the deadline is late",
        LATE,
        one_by_one(_ONE, label(1, True, at=_HOUR + 1)),
        ("p1",),
        ("labels/0/0 late",),
        examples=("expired 1",),
        counts={"expired drop": 1},
    ),
    Scenario(
        "predictions expire in the order of their deadlines",
        LATE,
        one_by_one(
            event(1, x=1.0, y=2.0, at=2_000),
            event(2, x=2.0, y=1.0, at=0),
            event(3, x=0.5, y=1.5, at=1_000),
            _NEXT,
        ),
        ("p1 p2 p3",),
        examples=("expired 2", "expired 3", "expired 1", "held next"),
        counts={"expired drop": 3, "held": 1},
    ),
    Scenario(
        "a prediction that expires is learned with the label that the settings assume",
        settings(LATE, labels={"on_timeout": {"assume": False}}),
        one_by_one(_ONE, _TWO, label(2, True), _NEXT, event(3, x=0.5, y=1.5), label(1, True)),
        ("p1 p2 l2 l1=false p3",),
        ("labels/0/2 late",),
        examples=("learned 2", "expired 1", "held next"),
        counts={"expired assume": 1, "held": 1},
    ),
    Scenario(
        "an assumed label is one that the values map to",
        settings(
            LATE, labels={"on_timeout": {"assume": "no"}, "values": {"yes": True, "no": False}}
        ),
        one_by_one(_ONE, _TWO, label(2, "yes"), _NEXT._replace(
            value=b'{"id": "next", "label": "yes"}')),
        ("p1 p2 l2=true l1=false",),
        examples=("learned 2", "expired 1", "held next"),
        counts={"expired assume": 1, "held": 1},
    ),
    Scenario(
        "where nothing comes any more predictions expire by the clock",
        settings(LATE, labels={"wait": "300ms"}),
        (*one_by_one(_ONE), LetPass(400, 1)),
        ("p1",),
        examples=("expired 1",),
        counts={"expired drop": 1},
    ),
    Scenario(
        "what expires by the clock is learned as assumed",
        settings(LATE, labels={"wait": "300ms", "on_timeout": {"assume": True}}),
        (*one_by_one(_ONE), LetPass(400, 1), *one_by_one(_TWO), LetPass(400, 2)),
        ("p1 l1=true p2 l2=true",),
        examples=("expired 1", "expired 2"),
        counts={"expired assume": 2},
    ),
    Scenario(
        "a label whose event never comes is given up on the stream",
        LATE,
        one_by_one(label(9, True, at=0), event(1, x=1.0, y=2.0, at=_HOUR + 1), label(1, True)),
        ("p1 l1",),
        ("labels/0/0 unmatched",),
        examples=("held 9", "unmatched 9", "learned 1"),
        counts={"held": 1},
    ),
    Scenario(
        "a label whose event never comes is given up by the clock",
        settings(LATE, labels={"wait": "300ms"}),
        (*one_by_one(label(9, True)), LetPass(400, 2)),
        ("",),
        ("labels/0/0 unmatched",),
        examples=("held 9", "unmatched 9"),
        counts={"held": 1},
    ),
    Scenario(
        "a label from the year 2099 expires nothing",
        settings(LATE, labels={"timestamp": "when"}),
        one_by_one(_ONE, label(2, True, when="2099-01-01T00:00:00Z"),
                   label(1, True, when="2024-01-01T00:30:00Z")),
        ("p1 l1",),
        examples=("held 2", "learned 1"),
        counts={"held": 1},
    ),
    Scenario(
        "at the bound the oldest prediction makes room where the settings say so",
        settings(_FEW, labels={"at_max": "expire_oldest"}),
        one_by_one(_ONE, _TWO, _THREE, label(1, True), label(2, True), label(3, False)),
        ("p1 p2 p3 l2 l3",),
        ("labels/0/0 late",),
        examples=("expired 1", "learned 2", "learned 3"),
        counts={"expired early": 1},
    ),
    Scenario(
        "what makes room is not learned as assumed",
        settings(_FEW, labels={"at_max": "expire_oldest", "on_timeout": {"assume": True}}),
        one_by_one(_ONE, _TWO, _THREE, event(4, x=3.0, y=3.0)),
        ("p1 p2 p3 p4",),
        examples=("expired 1", "expired 2"),
        counts={"expired early": 2},
    ),
    Scenario(
        "at the bound of held labels the oldest is given up",
        settings(_FEW, labels={"at_max": "expire_oldest"}),
        one_by_one(label(1, True), label(2, True), label(3, False), _ONE._replace(at=None), _TWO),
        ("p1 p2 l2",),
        ("labels/0/0 unmatched",),
        examples=("held 1", "held 2", "unmatched 1", "held 3", "learned 2"),
        counts={"held": 3},
    ),
    Scenario(
        "at the bound the worker stops and says so",
        _FEW,
        one_by_one(_ONE, _TWO, _THREE),
        ("p1 p2",),
        ends="labels.max_waiting",
    ),
    Scenario(
        "what waits on disk waits as in memory",
        settings(_FEW, waiting={"store": "disk"}, labels={"at_max": "expire_oldest"}),
        one_by_one(_ONE, _TWO, label(2, False), _THREE, event(4, x=3.0, y=3.0), label(3, True),
                   label(1, True)),
        ("p1 p2 l2 p3 p4 l3",),
        ("labels/0/2 late",),
        examples=("learned 2", "expired 1", "learned 3"),
        counts={"expired early": 1},
    ),
)  # fmt: skip
