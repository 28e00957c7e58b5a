"""Workers that come, go, die and are told something else: it has to be as if nothing had been."""

from tests.conformance import models
from tests.conformance.scenario import (
    INLINE,
    LATE,
    Die,
    Join,
    Leave,
    Restart,
    Scenario,
    Step,
    event,
    label,
    one_by_one,
    raw,
    send,
    settings,
)

_A = tuple(event(n, x=n / 3, y=n % 3, label=n % 2 == 0) for n in range(1, 5))
_B = tuple(event(n, x=n / 3, y=n % 3, label=n % 2 == 0) for n in range(5, 9))
_BOTH = tuple(event(n, x=n / 3, y=1 / n, label=n % 3 == 0, partition=n % 2) for n in range(1, 13))
_EVENTS = tuple(event(n, x=n / 3, y=1 / n, partition=n % 2) for n in range(1, 9))
_LABELS = tuple(label(n, n % 3 == 0, partition=n % 2) for n in range(1, 9))
_NO_SNAPSHOTS = {"enabled": False}
_EACH = tuple(f"pl{n}" for n in range(1, 9))
_ALL = (" ".join(_EACH),)
_FRAGILE = {"factory": "tests.conformance.models:fragile"}

_MEMORY: tuple[Step, ...] = (
    *one_by_one(
        event(1, x=1.0, y=2.0), event(2, x=2.0, y=1.0), label(1, True), label(9, True),
    ),
    Restart(),
    *one_by_one(
        label(1, False), label(2, False), event(9, x=0.5, y=1.5),
        event(1, name="again", x=3.0, y=3.0),
    ),
)  # fmt: skip
"""One waits, one is resolved, one is held, when the worker goes."""
_REMEMBERED = ("learned 1", "held 9", "learned 2", "learned 9")

FAULTS = (
    Scenario(
        "a restart goes on from a snapshot",
        INLINE,
        (send(*_A), Restart(), send(*_B)),
        _ALL,
        from_snapshots=True,
    ),
    Scenario(
        "a restart without snapshots goes on from the log",
        settings(INLINE, snapshots=_NO_SNAPSHOTS),
        (send(*_A), Restart(), send(*_B)),
        _ALL,
        from_snapshots=False,
    ),
    Scenario(
        "a restart that finds nothing new changes nothing",
        INLINE,
        (Restart(), send(*_A), Restart(), Restart(), send(*_B), Restart()),
        _ALL,
    ),
    Scenario(
        "what came while no worker was there is worked off by the next",
        INLINE,
        (send(*_A), Restart(meanwhile=(raw(b"bad"), *_B[:2])), Restart(meanwhile=_B[2:])),
        _ALL,
        ("events/0/4 not_json",),
    ),
    Scenario(
        "a restart from a snapshot remembers what waits is held and is resolved",
        LATE,
        _MEMORY,
        ("p1 p2 l1 l2 p9 l9 pagain",),
        examples=_REMEMBERED,
        counts={"held": 1, "skipped duplicate_label": 1, "repeated_id": 1},
        from_snapshots=True,
    ),
    Scenario(
        "a restart from the log remembers what waits is held and is resolved",
        settings(LATE, snapshots=_NO_SNAPSHOTS),
        _MEMORY,
        ("p1 p2 l1 l2 p9 l9 pagain",),
        examples=_REMEMBERED,
        counts={"held": 1, "skipped duplicate_label": 1, "repeated_id": 1},
        from_snapshots=False,
    ),
    Scenario(
        "at least once a restart remembers as much",
        settings(LATE, processing_guarantee="at_least_once"),
        _MEMORY,
        ("p1 p2 l1 l2 p9 l9 pagain",),
        examples=_REMEMBERED,
    ),
    Scenario(
        "a backlog that no worker saw is learned in the order of its times",
        LATE,
        (
            *one_by_one(event(1, x=1.0, y=2.0), event(2, x=2.0, y=1.0)),
            Restart(meanwhile=(event(3, x=1.0, y=0.0, at=5_000), label(2, True, at=4_000),
                               label(3, True, at=6_000), label(1, False, at=7_000))),
            *one_by_one(event(4, x=1.5, y=0.0, at=8_000)),
        ),
        ("p1 p2 l2 p3 l3 l1 p4",),
        examples=("learned 2", "learned 3", "learned 1"),
    ),
    Scenario(
        "exactly once a worker that dies before its commit leaves no trace",
        settings(LATE, processing_guarantee="exactly_once"),
        (
            *one_by_one(event(1, x=1.0, y=2.0), event(3, x=1.0, y=0.0)),
            Die("before_commit", (label(3, True), label(1, False))),
            *one_by_one(event(4, x=1.5, y=0.0)),
        ),
        ("p1 p3 l3 l1 p4",),
        examples=("learned 3", "learned 1"),
    ),
    Scenario(
        "exactly once a worker that dies after its commit leaves all of it",
        settings(INLINE, processing_guarantee="exactly_once"),
        (send(*_A), Die("after_commit", _B[:2]), send(*_B[2:])),
        _ALL,
    ),
    Scenario(
        "at least once a worker that dies between outputs and offsets learns nothing twice",
        settings(LATE, processing_guarantee="at_least_once"),
        (
            *one_by_one(event(1, x=1.0, y=2.0), event(2, x=2.0, y=1.0), label(2, True)),
            Die("before_commit", (label(1, False), label(8, True))),
            *one_by_one(event(4, x=1.5, y=0.0), event(8, x=1.0, y=0.0)),
        ),
        ("p1 p2 l2 l1 p4 p8 l8",),
        examples=("learned 2", "learned 1", "held 8", "learned 8"),
    ),
    Scenario(
        "at least once is the same where nobody dies",
        settings(INLINE, processing_guarantee="at_least_once"),
        (send(*_A, raw(b"bad")), Restart(), send(*_B)),
        _ALL,
        ("events/0/4 not_json",),
    ),
    Scenario(
        "a second worker takes over a partition and gives it back",
        INLINE,
        (send(*_BOTH[:4]), Join(), send(*_BOTH[4:8]), Leave(), send(*_BOTH[8:])),
        (" ".join(f"pl{n}" for n in range(2, 13, 2)), " ".join(f"pl{n}" for n in range(1, 13, 2))),
        partitions=2,
    ),
    Scenario(
        "a second worker takes over what waits and gives it back",
        LATE,
        (
            *one_by_one(*_EVENTS[:6], *_LABELS[:2]),
            Join(),
            *one_by_one(*_LABELS[2:4], *_EVENTS[6:]),
            Leave(),
            *one_by_one(*_LABELS[4:]),
        ),
        ("p2 p4 p6 l2 l4 p8 l6 l8", "p1 p3 p5 l1 l3 p7 l5 l7"),
        examples=(
            "learned 2", "learned 4", "learned 6", "learned 8",
            "learned 1", "learned 3", "learned 5", "learned 7",
        ),
        partitions=2,
    ),
    Scenario(
        "a replay reads each stretch of the log under the settings of its time",
        settings(INLINE, snapshots=_NO_SNAPSHOTS, events={"bounds": {"x": [0, 1]}}),
        (
            send(_A[0], event(20, x=5.0, y=1.0, label=True)),
            Restart({"events": {"bounds": {}}}),
            send(event(21, x=5.0, y=1.0, label=False)),
            Restart({"events": {"bounds": {"x": [0, 4]}}}),
            send(event(22, x=5.0, y=1.0, label=False), _A[1]),
            Restart(),
            send(_A[2]),
        ),
        ("pl1 pl21 pl2 pl3",),
        ("events/0/1 bounds", "events/0/3 bounds"),
        from_snapshots=False,
    ),
    Scenario(
        "what is assumed of an expiry is what the settings say by then",
        LATE,
        (
            *one_by_one(event(1, x=1.0, y=2.0, at=0), event(2, x=2.0, y=1.0, at=1_800_000),
                        label("a", True, at=3_700_000)),
            Restart({"labels": {"on_timeout": {"assume": True}}}),
            *one_by_one(label("b", True, at=5_500_000), event(3, x=1.0, y=1.0)),
        ),
        ("p1 p2 l2=true p3",),
        examples=("expired 1", "held a", "expired 2", "held b"),
        counts={"held": 2, "expired drop": 1, "expired assume": 1},
    ),
    Scenario(
        "another model under the same app is refused",
        INLINE,
        (send(*_A), Restart({"model": {"river": "linear_model.LogisticRegression()"}}, _B[:1])),
        ("pl1 pl2 pl3 pl4",),
        ends="millstream rebuild",
    ),
    Scenario(
        "an event over which the model breaks is left out altogether",
        settings(INLINE, model=_FRAGILE, snapshots=_NO_SNAPSHOTS),
        (
            send(_A[0], event(13, x=models.UNLUCKY, y=1.0, label=True), _A[1]),
            send(event(14, x=1.0, y=models.UNLUCKY, label=True), _A[2]),
            Restart(),
            send(_A[3]),
        ),
        ("pl1 pl2 pl3 pl4",),
        ("events/0/1 learn_error", "events/0/3 predict_error"),
        bare=models.fragile,
    ),
    Scenario(
        "a late label over which the model breaks is a dead letter and its prediction stands",
        settings(LATE, model=_FRAGILE, snapshots=_NO_SNAPSHOTS),
        (
            *one_by_one(
                event(1, x=1.0, y=1.0), event(13, x=models.UNLUCKY, y=1.0), label(1, True),
                label(13, True), event(2, x=2.0, y=1.0),
            ),
            Restart(),
            *one_by_one(label(2, False), event(3, x=1.0, y=0.5)),
        ),
        ("p1 p13 l1 p2 l2 p3",),
        ("labels/0/1 learn_error",),
        examples=("learned 1", "failed 13", "learned 2"),
        bare=models.fragile,
    ),
    Scenario(
        "a topic of bad messages ends the worker before all of it is buried",
        settings(INLINE, dead_letters={"window": 10}),
        (send(*_A), *one_by_one(*(raw(b"bad") for _ in range(6)))),
        ("pl1 pl2 pl3 pl4",),
        tuple(f"events/0/{offset} not_json" for offset in range(4, 9)),
        ends="dead_letters.stop_ratio",
    ),
)  # fmt: skip
