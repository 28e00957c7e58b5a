"""What a scenario is made of: the settings, what happens, and what has to come of it.

Nothing here knows a runner. Expectations are written by hand where a person can see them (which
event was predicted, which label learned, in which order, and why something was buried); the numbers
in between are a bare River model's, which goes through the same story: see `bare`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from millstream.core.records.record import Headers, InputName

BEGIN_MS = 1_704_067_200_000
"""2024: when the first message of every scenario is sent, by Kafka's timestamps."""
STEP_MS = 1_000
"""Each message comes so much after the one before, unless it says otherwise."""

Moment = Literal["after_learning", "mid_produce", "before_commit", "after_commit"]
"""When a worker dies, as `runners.failpoints` names it."""


class Message(NamedTuple):
    """A message that somebody sends to the events or to the labels."""

    side: InputName
    name: str
    """What stories call it; not part of the message."""
    document: Mapping[str, Any] | None
    """What it says; None where it is no JSON object."""
    value: bytes | None
    key: bytes | None
    at: int | None
    """Kafka's timestamp, ms after `BEGIN_MS`; None: `STEP_MS` after the one before."""
    partition: int
    headers: Headers | None


def event(
    identity: str | int,
    *,
    name: str | None = None,
    at: int | None = None,
    partition: int = 0,
    headers: Headers | None = None,
    **fields: Any,
) -> Message:
    """An event of this id; `name`: where several have the same one."""
    document = {"id": identity, **fields}
    return Message(
        "events", name or str(identity), document, orjson.dumps(document), str(identity).encode(),
        at, partition, headers,
    )  # fmt: skip


def label(
    identity: str | int, truth: Any, *, at: int | None = None, partition: int = 0, **fields: Any
) -> Message:
    """A message of the labels topic."""
    document = {"id": identity, "label": truth, **fields}
    return Message(
        "labels", str(identity), document, orjson.dumps(document), str(identity).encode(),
        at, partition, None,
    )  # fmt: skip


def raw(
    value: bytes | None, *, side: InputName = "events", at: int | None = None,
    key: bytes | None = b"raw", headers: Headers | None = None,
) -> Message:  # fmt: skip
    """A message as it is; None is a tombstone."""
    return Message(side, "", None, value, key, at, 0, headers)


# -- what happens ---------------------------------------------------------------------------------


class Send(NamedTuple):
    """Messages come, and are worked off before anything else happens.

    Events and labels in one step may be fetched in any order: send both only where it is the same.
    """

    messages: tuple[Message, ...]


class Restart(NamedTuple):
    """The worker stops in good order and starts again, with some settings changed."""

    settings: Mapping[str, Any] = {}
    meanwhile: tuple[Message, ...] = ()
    """What came while it was down."""


class Die(NamedTuple):
    """The worker is killed at a moment of its first commit of these messages; another one starts.

    As by SIGKILL: nothing is finished, closed or given back.
    """

    moment: Moment
    messages: tuple[Message, ...]


class Join(NamedTuple):
    """A second worker takes its share of the partitions."""


class Leave(NamedTuple):
    """The worker that joined stops in good order; the first has all partitions again."""


class LetPass(NamedTuple):
    """Nothing comes for so long (ms), until the training log holds so many records."""

    duration: int
    examples: int


Step = Send | Restart | Die | Join | Leave | LetPass


def send(*messages: Message) -> Send:
    """A step: these come."""
    return Send(messages)


def one_by_one(*messages: Message) -> tuple[Send, ...]:
    """Steps: each comes when the one before is worked off."""
    return tuple(Send((message,)) for message in messages)


# -- the whole ------------------------------------------------------------------------------------

FEATURES = ("x", "y")
SCALED = "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.1))"
INLINE: Mapping[str, Any] = {
    "events": {"id": "id", "features": list(FEATURES), "label": "label"},
    "labels": {"from": "event"},
    "model": {"river": SCALED},
}
"""Labels inside the events."""
LATE: Mapping[str, Any] = {
    "events": {"id": "id", "features": list(FEATURES)},
    "labels": {"from": "topic", "wait": "1h"},
    "model": {"river": SCALED},
}
"""Labels on a topic of their own; an hour, by the messages' times."""


def settings(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Settings with changes, merged section by section; `app`, `kafka` and topics are a runner's.

    >>> settings({"labels": {"from": "event"}}, labels={"missing": "predict"})
    {'labels': {'from': 'event', 'missing': 'predict'}}
    """
    merged = dict(base)
    for section, change in changes.items():
        before = merged.get(section)
        merged[section] = change
        if isinstance(before, Mapping) and isinstance(change, Mapping) and section != "model":
            merged[section] = {**before, **change}
    return merged


@dataclass(frozen=True)
class Scenario:
    """Something that happens to an app, and what every runner has to make of it."""

    name: str
    settings: Mapping[str, Any]
    """`model.sklearn` and `model.weights` are functions that make what the files hold."""
    steps: tuple[Step, ...]
    stories: tuple[str, ...]
    """By partition: what the model did, in its order. `p1` predicts on the message named 1, `l1`
    learns it with the label that came for it, `l1=true` with this one (JSON), `pl1` predicts and
    then learns."""
    letters: tuple[str, ...] = ()
    """Dead letters in any order, as `events/0/3 not_json`: side, partition, offset, reason."""
    examples: tuple[str, ...] = ()
    """The training log of late labels in its order, as `learned 1`: kind and id (no owners)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What is counted besides predictions, examples and letters, as `skipped tombstone`."""
    bare: Callable[[], Any] | None = None
    """Makes the bare model; None: that of `SCALED`."""
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the model saw of a message, where that is not simply its `x` and `y`."""
    says: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of the prediction on a message, seen by hand; `{events}` is that topic's name."""
    transformed: bool = False
    """Whether the last step learns what it saw when it predicted."""
    partitions: int = 1
    ends: str | None = None
    """A part of the sentence with which the worker ends, in the last step."""
    from_snapshots: bool | None = None
    """Whether the last restore began from a snapshot; None: either will do."""
    check_digest: bool = True
    """False for models that are none of River's: their predictions alone are compared."""

    @property
    def late(self) -> bool:
        """Whether labels come on a topic."""
        source: str = self.settings["labels"]["from"]
        return source == "topic"

    @property
    def repeats(self) -> bool:
        """Whether outputs may stand there twice: at least once, after a death."""
        exact = self.settings.get("processing_guarantee", "exactly_once") == "exactly_once"
        return not exact and any(isinstance(step, Die) for step in self.steps)

    def messages(self) -> list[Message]:
        """All that is sent, in order, with times."""
        found: list[Message] = []
        for step in self.steps:
            found += messages_of(step)
        return timed(found)


def messages_of(step: Step) -> tuple[Message, ...]:
    """What comes in a step."""
    if isinstance(step, Send | Die):
        return step.messages
    return step.meanwhile if isinstance(step, Restart) else ()


def timed(messages: list[Message]) -> list[Message]:
    """Messages with their times, ms after `BEGIN_MS`."""
    found: list[Message] = []
    for message in messages:
        before = found[-1].at if found else None
        at = (0 if before is None else before + STEP_MS) if message.at is None else message.at
        found.append(message._replace(at=at))
    return found
