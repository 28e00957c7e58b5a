"""Bad messages among good ones: each is one dead letter with its reason, and leaves no trace."""

import pytest

from millstream.core.processing.partition_processor import Shard
from millstream.core.records.record import REASONS, Outcome, Record
from tests.support.bad_messages import BAD_EVENTS, EVENT_MESSAGES, EVENTS, ODD_EVENTS, Message, good
from tests.support.shards import decoded, inline_shard

NOW = 4_102_444_800_000
UNBOUNDED = {**EVENTS, "bounds": {}, "missing": None}

RIVER_EVENTS = [
    # Text may be what a River model wants; a linear one raises an error when it predicts.
    Message("text as a feature", good(a="high"), "predict_error"),
    Message("a giant text as a feature", good(a="x" * 900_000), "predict_error"),
    Message("a list as a feature", good(a=[1.0]), "feature_type"),
    Message("a missing feature", good(b=None), None),
    Message("no features", good(a=None, b=None, c=None), "missing_feature"),
    Message("an integer beyond 64 bits", good().replace(b"0.5", b"1" + b"0" * 30), None),
    Message("a feature of 1e101", good().replace(b"0.5", b"1e101"), "feature_value"),
    Message("an ignored field of 900,000 characters", good(x="x" * 900_000), None),
]
"""What is different where neither bounds nor the model say that features are numbers."""


def reasons(outcome: Outcome) -> list[str]:
    found = [dict(letter.headers or ()) for letter in outcome.dead_letters]
    return [(headers["millstream-reason"] or b"").decode() for headers in found]


def usual(count: int) -> list[bytes]:
    """Different good events."""
    return [good(id=f"usual {i}", a=i * 0.37 % 5, b=-i, label=i % 3 == 0) for i in range(count)]


def shard(events: dict[str, object]) -> Shard:
    return inline_shard(events=events)


def as_record(offset: int, message: Message) -> Record:
    return Record(offset, offset, message.key, message.value, message.headers)


def work(shard: Shard, records: list[Record]) -> Outcome:
    return shard.process({"events": records}, {"events": True}, NOW)


def test_there_are_more_than_forty_kinds_under_names_of_their_own() -> None:
    assert len(BAD_EVENTS) > 40
    names = [message.name for message in EVENT_MESSAGES]
    assert len(set(names)) == len(names)
    assert {message.expected for message in EVENT_MESSAGES} <= {None, "skip", *REASONS}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        *(pytest.param(EVENTS, message, id=message.name) for message in EVENT_MESSAGES),
        *(pytest.param(UNBOUNDED, each, id=f"River: {each.name}") for each in RIVER_EVENTS),
    ],
)
def test_each_message_comes_to_what_it_should(events: dict[str, object], message: Message) -> None:
    one = shard(events)
    before, after = usual(6)[:3], usual(6)[3:]
    values = [Message("", value, None) for value in (*before, b"", *after)]
    values[3] = message
    outcome = work(one, [as_record(offset, each) for offset, each in enumerate(values)])
    bad = message.expected is not None
    assert len(outcome.predictions) == 6 + (not bad)
    assert reasons(outcome) == ([message.expected] if bad and message.expected != "skip" else [])
    assert outcome.counts.get(("skipped", "tombstone"), 0) == (message.expected == "skip")
    assert outcome.positions == {"events": 7}
    assert outcome.counts["consumed", "events"] == 7

    if bad:
        untouched = shard(events)
        work(untouched, [as_record(o, each) for o, each in enumerate(values) if o != 3])
        assert one.learner.digest() == untouched.learner.digest()
    assert one.learned == 6 + (not bad)


def test_a_dead_letter_holds_the_message_as_it_came() -> None:
    one = shard(EVENTS)
    for offset, message in enumerate(BAD_EVENTS):
        if message.expected == "skip":
            continue
        (letter,) = work(one, [as_record(offset, message)]).dead_letters
        assert letter.value == message.value
        assert letter.key == message.key
        assert dict(letter.headers or ())["millstream-offset"] == str(offset).encode()


def test_a_dead_letter_quotes_nothing_of_the_payload() -> None:
    one = shard(EVENTS)
    for canary in (b'{"id": canary}', good(id=["canary"]), good(at="canary"), good(a="canary"),
                   good(label="canary"), good(label=["canary"]), good(a={"canary": 1}),
                   b'"canary"', b'{"canary": 1}'):  # fmt: skip
        (letter,) = work(one, [Record(0, 0, None, canary, None)]).dead_letters
        for name, value in letter.headers or ():
            assert b"canary" not in name.encode() + (value or b"")


def test_all_of_them_mixed_leave_the_model_as_the_good_ones_alone_would() -> None:
    mixed, clean = shard(EVENTS), shard(EVENTS)
    messages = [
        each
        for odd, value in zip(EVENT_MESSAGES, usual(len(EVENT_MESSAGES)), strict=True)
        for each in (odd, Message("", value, None))
    ]
    records = [as_record(offset, message) for offset, message in enumerate(messages)]
    outcome = work(mixed, records)
    wanted = [m.expected for m in BAD_EVENTS if m.expected != "skip"]
    assert reasons(outcome) == wanted
    assert len(outcome.predictions) == len(ODD_EVENTS) + len(EVENT_MESSAGES)
    work(clean, [r for r, m in zip(records, messages, strict=True) if m.expected is None])
    assert mixed.learner.digest() == clean.learner.digest()
    assert mixed.learned == clean.learned == len(outcome.predictions)


def test_predictions_carry_the_key_and_the_headers_however_odd() -> None:
    one = shard(EVENTS)
    records = [as_record(offset, message) for offset, message in enumerate(ODD_EVENTS)]
    outcome = work(one, records)
    for message, prediction in zip(ODD_EVENTS, outcome.predictions, strict=True):
        assert prediction.key == message.key
        assert prediction.headers == message.headers
    offsets = [document["source"]["offset"] for document in decoded(outcome.predictions)]
    assert offsets == list(range(len(ODD_EVENTS)))
