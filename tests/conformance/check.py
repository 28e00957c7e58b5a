"""Compares what a runner made of a scenario with what it has to make of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from millstream.core.records.dead_letters import our_headers, own_headers
from tests.conformance.adapter import Seen
from tests.conformance.bare import Bare, Predicted, tell
from tests.conformance.play import Played
from tests.conformance.scenario import BEGIN_MS, Message, Scenario
from tests.support.validators import validate

COUNTED = ("skipped", "expired", "repeated_id", "unlabelled", "unknown_fields", "held")


class _Sent(NamedTuple):
    """Messages as they lie in their topics."""

    by_place: dict[tuple[str, int, int], Message]
    """By side, partition and offset."""
    place: dict[str, tuple[int, int]]
    """Name to partition and offset of the first event so called."""


def check(scenario: Scenario, played: Played) -> None:
    """Raise AssertionError, with what differs first, unless a runner did all that it had to do."""
    sent = _where(scenario)
    bare = [tell(scenario, story) for story in scenario.stories]
    _check_predictions(scenario, played, sent, bare)
    _check_letters(scenario, played, sent)
    _check_examples(scenario, played)
    if scenario.ends is not None:
        assert scenario.ends in (played.ended or "it did not end"), played.ended
        return
    assert played.ended is None, played.ended
    learned = {number: each.learned for number, each in enumerate(bare)}
    assert played.learned == learned, "how many examples each partition has learned"
    if scenario.check_digest:
        digests = {number: each.digest for number, each in enumerate(bare)}
        assert played.digests == digests, "weights are not those of the bare model"
    if scenario.from_snapshots is not None:
        assert played.from_snapshot == scenario.from_snapshots, "where the last restore began"
    if played.exactly_once and not any(type(s).__name__ == "Die" for s in scenario.steps):
        _check_counts(scenario, played)


def _where(scenario: Scenario) -> _Sent:
    ends: dict[tuple[str, int], int] = {}
    found = _Sent({}, {})
    for message in scenario.messages():
        where = message.side, message.partition
        offset = ends[where] = ends.get(where, -1) + 1
        found.by_place[(*where, offset)] = message
        if message.side == "events":
            found.place.setdefault(message.name, (message.partition, offset))
    return found


# -- predictions ----------------------------------------------------------------------------------


def _check_predictions(
    scenario: Scenario, played: Played, sent: _Sent, bare: Sequence[Bare]
) -> None:
    for number in range(scenario.partitions):
        seen = [each for each in played.predictions if each.partition == number]
        records = [(each, orjson.loads(each.value or b"")) for each in seen]
        if scenario.repeats:
            records = list(_without_repeats(records))
        expected = bare[number].predictions
        names = [_name(sent, document["source"]) for _, document in records]
        assert names == [each.name for each in expected], "what was predicted, in which order"
        for (record, document), each in zip(records, expected, strict=True):
            validate("prediction", document)
            _check_prediction(scenario, played.app, sent, record, document, each)


def _name(sent: _Sent, source: dict[str, Any]) -> str:
    return sent.by_place["events", source["partition"], source["offset"]].name


def _without_repeats(records: Iterable[tuple[Seen, Any]]) -> Iterator[tuple[Seen, Any]]:
    """At least once: a prediction that is made again says what it said before."""
    first: dict[int, Any] = {}
    for record, document in records:
        said = {
            key: value for key, value in document.items() if key not in {"predicted_at", "owner"}
        }
        before = first.setdefault(document["source"]["offset"], said)
        if before is said:
            yield record, document
        assert before == said, "a repeated prediction says something else"


def _check_prediction(
    scenario: Scenario, app: str, sent: _Sent, record: Seen, document: Any, expected: Predicted
) -> None:
    message = sent.by_place["events", *sent.place[expected.name]]
    said: dict[str, Any] = {**expected.answer, "id": (message.document or {}).get("id")}
    for field, value in scenario.says.get(expected.name, {}).items():
        said[field] = value.format(events=f"{app}.events") if type(value) is str else value
    there = {field: document.get(field, "(none)") for field in said}
    assert there == said, f"the prediction on {expected.name}"
    assert document["model"]["learned"] == expected.learned, f"learned before {expected.name}"
    if "event_time" not in said:
        assert document["event_time"] == BEGIN_MS + (message.at or 0), expected.name
    assert document["predicted_at"] > BEGIN_MS
    there = {"key": record.key, "headers": record.headers}
    assert there == {"key": message.key, "headers": message.headers or []}, expected.name


# -- all else -------------------------------------------------------------------------------------


def _check_letters(scenario: Scenario, played: Played, sent: _Sent) -> None:
    found = []
    for record in played.dead_letters:
        ours = our_headers(record.headers)
        side = ours["millstream-topic"].removeprefix(f"{played.app}.")
        place = side, record.partition, int(ours["millstream-offset"])
        found.append(f"{side}/{place[1]}/{place[2]} {ours['millstream-reason']}")
        message = sent.by_place[place]
        assert record.key == message.key
        headers = own_headers(record.headers)
        if "millstream-truncated" in ours:
            assert headers in ([], message.headers or [])
            assert (message.value or b"").startswith(record.value or b"")
            assert int(ours["millstream-truncated"]) == len(message.value or b"")
        else:
            assert (headers, record.value) == (message.headers or [], message.value)
        assert int(ours["millstream-timestamp"]) == BEGIN_MS + (message.at or 0)
    if scenario.repeats:
        found = list(dict.fromkeys(found))
    assert sorted(found) == sorted(scenario.letters), "dead letters"


def _check_examples(scenario: Scenario, played: Played) -> None:
    found = []
    for record in played.examples:
        document = orjson.loads(record.value or b"")
        validate("example", document)
        if document["kind"] != "owner":
            found.append(f"{document['kind']} {document['id']}")
    if scenario.repeats:
        found = list(dict.fromkeys(found))
    assert found == list(scenario.examples), "the training log"


def _check_counts(scenario: Scenario, played: Played) -> None:
    counted = {name: n for name, n in played.counts.items() if name.split()[0] in COUNTED and n}
    assert counted == dict(scenario.counts), "what was counted"
    messages = scenario.messages()
    for side in ("events", "labels"):
        there = sum(message.side == side for message in messages)
        assert played.counts[f"consumed {side}"] == there, f"{side} taken in"
    assert played.counts["predicted"] == len(played.predictions)
    assert played.counts["learned"] == sum(played.learned.values())
