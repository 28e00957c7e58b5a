"""Bad messages among good ones: each is one dead letter with its reason, and leaves no trace."""

import pytest

from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.record import REASONS, BatchResult, Record
from tests.support.bad_messages import BAD_EVENTS, EVENT_MESSAGES, EVENTS, ODD_EVENTS, Message, good
from tests.support.processors import decoded, inline_shard

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


def reasons(result: BatchResult) -> list[str]:
    found = [dict(letter.headers or ()) for letter in result.dead_letters]
    return [(headers["millstream-reason"] or b"").decode() for headers in found]


def usual(count: int) -> list[bytes]:
    """Different good events."""
    return [good(id=f"usual {i}", a=i * 0.37 % 5, b=-i, label=i % 3 == 0) for i in range(count)]


def processor(events: dict[str, object]) -> PartitionProcessor:
    return inline_shard(events=events)


def as_record(offset: int, message: Message) -> Record:
    return Record(offset, offset, message.key, message.value, message.headers)


def work(processor: PartitionProcessor, records: list[Record]) -> BatchResult:
    return processor.process({"events": records}, {"events": True}, NOW)


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
    one = processor(events)
    before, after = usual(6)[:3], usual(6)[3:]
    values = [Message("", value, None) for value in (*before, b"", *after)]
    values[3] = message
    result = work(one, [as_record(offset, each) for offset, each in enumerate(values)])
    bad = message.expected is not None
    assert len(result.predictions) == 6 + (not bad)
    assert reasons(result) == ([message.expected] if bad and message.expected != "skip" else [])
    assert result.counts.get(("skipped", "tombstone"), 0) == (message.expected == "skip")
    assert result.positions == {"events": 7}
    assert result.counts["consumed", "events"] == 7

    if bad:
        untouched = processor(events)
        work(untouched, [as_record(o, each) for o, each in enumerate(values) if o != 3])
        assert one.learner.digest() == untouched.learner.digest()
    assert one.learned == 6 + (not bad)


def test_a_dead_letter_holds_the_message_as_it_came() -> None:
    one = processor(EVENTS)
    for offset, message in enumerate(BAD_EVENTS):
        if message.expected == "skip":
            continue
        (letter,) = work(one, [as_record(offset, message)]).dead_letters
        assert letter.value == message.value
        assert letter.key == message.key
        assert dict(letter.headers or ())["millstream-offset"] == str(offset).encode()


def test_a_dead_letter_quotes_nothing_of_the_payload() -> None:
    one = processor(EVENTS)
    for canary in (b'{"id": canary}', good(id=["canary"]), good(at="canary"), good(a="canary"),
                   good(label="canary"), good(label=["canary"]), good(a={"canary": 1}),
                   b'"canary"', b'{"canary": 1}'):  # fmt: skip
        (letter,) = work(one, [Record(0, 0, None, canary, None)]).dead_letters
        for name, value in letter.headers or ():
            assert b"canary" not in name.encode() + (value or b"")


def test_all_of_them_mixed_leave_the_model_as_the_good_ones_alone_would() -> None:
    mixed, clean = processor(EVENTS), processor(EVENTS)
    messages = [
        each
        for odd, value in zip(EVENT_MESSAGES, usual(len(EVENT_MESSAGES)), strict=True)
        for each in (odd, Message("", value, None))
    ]
    records = [as_record(offset, message) for offset, message in enumerate(messages)]
    result = work(mixed, records)
    wanted = [m.expected for m in BAD_EVENTS if m.expected != "skip"]
    assert reasons(result) == wanted
    assert len(result.predictions) == len(ODD_EVENTS) + len(EVENT_MESSAGES)
    work(clean, [r for r, m in zip(records, messages, strict=True) if m.expected is None])
    assert mixed.learner.digest() == clean.learner.digest()
    assert mixed.learned == clean.learned == len(result.predictions)


def test_predictions_carry_the_key_and_the_headers_however_odd() -> None:
    one = processor(EVENTS)
    records = [as_record(offset, message) for offset, message in enumerate(ODD_EVENTS)]
    result = work(one, records)
    for message, prediction in zip(ODD_EVENTS, result.predictions, strict=True):
        assert prediction.key == message.key
        assert prediction.headers == message.headers
    offsets = [document["source"]["offset"] for document in decoded(result.predictions)]
    assert offsets == list(range(len(ODD_EVENTS)))
