"""What failed is listed, shown, and replayed once, to where it came from."""

import io
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition

from millstream.cli.commands import dead_letters
from millstream.config.settings import load_settings
from millstream.core.records import outputs
from millstream.core.records.dead_letters import RecordPosition, read_letter, replay_of
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import Headers, Output, Record
from millstream.errors import DeadLetter, Stop
from millstream.operations.dead_letter_replay import BATCH_RECORDS, Replayer
from tests.cli.conftest import delayed, inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka, Message
from tests.support.validators import validate, validate_dead_letter

AT = 1_790_000_000_000


def letter_of(
    topic: str,
    offset: int = 0,
    *,
    reason: str = "not_json",
    detail: str = "",
    partition: int = 0,
    timestamp: int = AT,
    key: bytes | None = b"k",
    value: bytes | None = b"hello",
    headers: Headers | None = None,
    max_bytes: int = 1_000_000,
) -> Output:
    """A dead letter as the worker writes it."""
    source = PartitionSource(partition, topic, None, "m", "0123456789ab", max_bytes, features=True)
    record = Record(offset, timestamp, key, value, headers)
    return outputs.dead_letter(source, topic, record, DeadLetter(reason, detail))


class Office:
    """An app whose dead letters are written by hand."""

    def __init__(self, kafka: Kafka, write: Write, *, late: bool = False, **topics: Any) -> None:
        self.kafka = kafka
        self.app = kafka.unique("letters")
        self.settings = (delayed if late else inline)(self.app, kafka.bootstrap)
        self.file = write(self.settings)
        self.events = f"{self.app}.sites"
        self.topic = f"{self.app}.dead-letters"
        kafka.create_topics(
            self.events, self.topic, *([f"{self.app}.verdicts"] if late else []), **topics
        )

    def write(
        self, letters: Iterable[Output], *, at: int | None = None, partition: int = 0
    ) -> None:
        """Put dead letters into their topic."""
        self.kafka.produce(
            self.topic, [(o.key, o.value, o.headers, at, partition) for o in letters]
        )

    def replayed(self, topic: str | None = None) -> list[Message]:
        """What lies in the topic of events, or in another."""
        return self.kafka.read(topic or self.events)


@pytest.fixture
def office(kafka: Kafka, write: Write) -> Office:
    return Office(kafka, write, partitions=3)


def lines(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


# -- list ------------------------------------------------------------------------------------------


def test_list_ends_where_there_is_nothing(millstream: Millstream, office: Office) -> None:
    result = millstream("dead-letters", "list", office.file)
    assert (result.exit_code, result.out) == (0, f"no such dead letters in {office.topic}\n")
    assert millstream("dead-letters", "list", office.file, "--json") == (0, "", "")


def test_list_says_what_failed_where_and_why(millstream: Millstream, office: Office) -> None:
    office.write([letter_of("t", 7, reason="bounds", detail="a is outside"), letter_of("t", 8)])
    (first, second) = lines(millstream("dead-letters", "list", office.file, "--json").out)
    assert first.pop("written_at") > AT
    assert first == {
        "partition": 0, "offset": 0, "stage": "validate", "reason": "bounds",
        "detail": "a is outside", "source": {"topic": "t", "partition": 0, "offset": 7},
        "timestamp": AT, "model_version": "0123456789ab", "bytes": 5, "truncated": None,
        "origin": {"topic": "t", "partition": 0, "offset": 7}, "replays": 0, "replayed": 0,
    }  # fmt: skip
    assert second["reason"] == "not_json"
    table = millstream("dead-letters", "list", office.file, "--summary").out
    assert "a is outside" in table
    assert "the user's JSON Schema" not in table
    assert "a feature outside of its bounds" in table


def test_each_filter_leaves_out_what_it_says(millstream: Millstream, office: Office) -> None:
    office.write([letter_of("t", 1), letter_of("t", 2, reason="bounds")], at=AT, partition=0)
    office.write([letter_of("t", 3, reason="id", partition=2)], partition=2)

    def listed(*options: object) -> list[int]:
        result = millstream("dead-letters", "list", office.file, "--json", *options)
        assert result.exit_code == 0, result.err
        return [each["source"]["offset"] for each in lines(result.out)]

    assert listed() == [1, 2, 3]
    assert listed("--reason", "bounds", "--reason", "id") == [2, 3]
    assert listed("--stage", "validate") == [2, 3]
    assert listed("--stage", "validate", "--reason", "not_json") == []
    assert listed("--partition", 2) == [3]
    assert listed("--partition", 0, "--partition", 1) == [1, 2]
    assert listed("--since", "1h") == [3]
    assert listed("--since", "2026-01-01") == [1, 2, 3]
    assert listed("--since", "2026-09-21T14:13:21Z") == [3]
    assert listed("--since", "2099-01-01T00:00+02:00") == []
    assert listed("--limit", 2) == [1, 2]


def test_a_summary_counts_what_the_limit_leaves_out(millstream: Millstream, office: Office) -> None:
    office.write([letter_of("t", n, reason=("id", "bounds")[n % 3 == 0]) for n in range(10)])
    options = ("--limit", 1, "--summary")
    result = millstream("dead-letters", "list", office.file, "--json", *options)
    assert lines(result.out)[1:] == [{"summary": {"id": 6, "bounds": 4}}]
    table = millstream("dead-letters", "list", office.file, *options).out
    assert "1 of 10 are shown" in table


def test_what_was_aborted_is_not_listed_and_what_is_foreign_is_counted(
    millstream: Millstream, office: Office, kafka: Kafka
) -> None:
    producer = Producer({**kafka.config, "transactional.id": office.app})
    producer.init_transactions()
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        letter = letter_of("t", 1)
        producer.produce(office.topic, letter.value, headers=letter.headers, partition=0)
        end()
    office.write(
        [Output(None, b"hello", None), Output(None, None, [("millstream-stage", b"\xff")])]
    )
    result = millstream("dead-letters", "list", office.file, "--json")
    assert len(lines(result.out)) == 1
    assert f"2 records in {office.topic} are no dead letters" in result.err


# -- show ------------------------------------------------------------------------------------------


def test_show_never_sends_control_characters_to_the_terminal(
    millstream: Millstream, office: Office
) -> None:
    evil = b"\x1b[2J[red]\xff\x00\xc2\x9b31m\xe2\x80\xaeabc\r\n"
    office.write(
        [letter_of("t", 1, key=evil, value=evil, headers=[("x\x1b", evil)], detail="\x07")]
    )
    for command in (("list", office.file), ("show", office.file, 0, 0)):
        out = millstream("dead-letters", *command).out
        assert all(c.isprintable() or c == "\n" for c in out), out
    assert r"value: \x1b[2J[red]\xff\x00\x9b31m\u202eabc\r\n" in out
    assert r"header x\x1b: \x1b[2J" in out
    assert "reason: not_json: not JSON (RFC 8259" in out


def test_show_as_json_holds_every_byte(millstream: Millstream, office: Office) -> None:
    value, headers = bytes(range(256)), [("a", b"\xff"), ("a", None), ("a", b"")]
    office.write([letter_of("t", 1, key=None, value=value, headers=list(headers))])
    (shown,) = lines(millstream("dead-letters", "show", office.file, 0, 0, "--json").out)
    assert b64decode(shown["value"]) == value
    assert shown["key"] is None
    assert shown["headers"][:3] == [["a", "/w=="], ["a", None], ["a", ""]]
    assert ["millstream-reason", "bm90X2pzb24="] in shown["headers"]
    assert shown["meaning"].startswith("not JSON")


def test_show_finds_a_dead_letter_by_where_its_message_lay_at_any_try(
    millstream: Millstream, office: Office
) -> None:
    origin = [("millstream-replayed-from", b"t/1/5"), ("millstream-replays", b"1")]
    office.write([letter_of("t", 4, partition=1), letter_of("t", 5, partition=1)], partition=1)
    office.write([letter_of("t", 9, partition=1, headers=list(origin))], partition=1)

    def found(source: str) -> list[int]:
        result = millstream("dead-letters", "show", office.file, "--source", source, "--json")
        return [each["offset"] for each in lines(result.out)]

    assert found("t/1/5") == [1, 2]
    assert found("t/1/9") == [2]
    out = millstream("dead-letters", "show", office.file, 1, 2).out
    assert "tries: 2: replayed, first from t/1/5" in out


# -- replay ----------------------------------------------------------------------------------------


def test_a_replay_writes_bytes_key_and_the_messages_own_headers_to_its_partition(
    millstream: Millstream, office: Office
) -> None:
    own: Headers = [
        ("trace", b"\xff"),
        ("millstream-stage", b"a copy of a dead letter"),
        ("n", None),
    ]
    office.write([letter_of(office.events, 5, partition=2, headers=own)], partition=2)
    office.write([letter_of(office.events, 6, partition=2, key=None, value=None)], partition=2)
    result = millstream("dead-letters", "replay", office.file, "--yes")
    assert result.exit_code == 0, result.err
    assert "replayed 2 messages" in result.out
    first, second = office.replayed()
    assert (first.partition, first.key, first.value) == (2, b"k", b"hello")
    assert first.headers == [
        *own,
        ("millstream-replayed-from", f"{office.events}/2/5".encode()),
        ("millstream-replayed-letter", f"{office.topic}/2/0".encode()),
        ("millstream-replays", b"1"),
    ]
    assert first.timestamp > AT
    assert (second.partition, second.key, second.value) == (2, None, None)
    (*_, note) = office.kafka.read(office.topic)
    validate("replay-note", {name: (value or b"").decode() for name, value in note.headers})


def test_nothing_is_replayed_twice_unless_asked(millstream: Millstream, office: Office) -> None:
    office.write([letter_of(office.events, n) for n in range(3)])
    run = ("dead-letters", "replay", office.file, "--yes")
    assert "replayed 2 messages" in millstream(*run, "--limit", 2).out
    second = millstream(*run)
    assert "replayed 1 message\n" in second.out
    assert "left out: 2 replayed already" in second.out
    assert "0 messages to be replayed" in millstream(*run).out
    listed = lines(millstream("dead-letters", "list", office.file, "--json").out)
    assert [each["replayed"] for each in listed] == [1, 1, 1]
    assert len(office.replayed()) == 3
    assert "replayed 3 messages" in millstream(*run, "--again").out
    assert len(office.replayed()) == 6


def test_a_replay_that_was_cut_short_goes_on_where_it_ended(
    millstream: Millstream, office: Office, kafka: Kafka
) -> None:
    many = BATCH_RECORDS + 10
    office.write([letter_of(office.events, n) for n in range(many)])
    cut = Replayer(load_settings(office.file))
    for number, message in enumerate(kafka.read(office.topic)):
        record = Record(message.offset, 0, message.key, message.value, message.headers)
        letter = read_letter(office.topic, 0, record)
        assert letter is not None
        cut.add(letter, replay_of(letter, b"k", str(number).encode(), []))
    assert cut.written == BATCH_RECORDS
    result = millstream("dead-letters", "replay", office.file, "--yes")
    assert "replayed 10 messages" in result.out, result
    with pytest.raises(Stop, match=rf"another replay .* before that: {BATCH_RECORDS}"):
        cut.finish()
    places = Counter(dict(m.headers)["millstream-replayed-from"] for m in office.replayed())
    assert len(places) == many
    assert set(places.values()) == {1}


def test_a_replay_that_waited_for_its_answer_while_another_ran_writes_nothing(
    millstream: Millstream, office: Office, kafka: Kafka
) -> None:
    office.write([letter_of(office.events, 1)])
    asking = Replayer(load_settings(office.file))
    assert millstream("dead-letters", "replay", office.file, "--yes").exit_code == 0
    (message, *_) = kafka.read(office.topic)
    letter = read_letter(office.topic, 0, Record(0, 0, None, None, message.headers))
    assert letter is not None

    def go_on() -> None:
        asking.add(letter, Output(b"k", b"hello", []))
        asking.finish()

    with pytest.raises(Stop, match="another replay"):
        go_on()
    assert len(office.replayed()) == 1


def test_a_dry_run_counts_and_writes_nothing(millstream: Millstream, office: Office) -> None:
    office.write([letter_of(office.events, n, reason="id") for n in range(3)])
    office.write([letter_of(office.events, 9)])
    result = millstream("dead-letters", "replay", office.file, "--dry-run", "--json")
    (counted,) = lines(result.out)
    assert counted == {
        "dry_run": True,
        "messages": 4,
        "by_reason": [
            {"topic": office.events, "reason": "id", "messages": 3},
            {"topic": office.events, "reason": "not_json", "messages": 1},
        ],
        "left_out": {},
    }
    shown = millstream("dead-letters", "replay", office.file, "--dry-run", "--reason", "id").out
    assert "3 messages would be replayed" in shown
    assert office.replayed() == []
    assert len(office.kafka.read(office.topic)) == 4


@pytest.mark.parametrize(("answer", "replayed"), [("n", 0), ("y", 1)])
def test_it_asks_before_it_writes(
    millstream: Millstream,
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    replayed: int,
) -> None:
    office.write([letter_of(office.events)])
    monkeypatch.setattr(dead_letters, "is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    result = millstream("dead-letters", "replay", office.file)
    assert "replay 1 message?" in result.out
    assert (result.exit_code, len(office.replayed())) == (1 - replayed, replayed)


def test_what_cannot_be_replayed_is_left_out_and_said(
    millstream: Millstream, office: Office
) -> None:
    tired = [("millstream-replays", b"3")]
    office.write([
        letter_of("somewhere-else"),
        letter_of(office.events, 1, partition=9),
        letter_of(office.events, 2, reason="headers"),
        letter_of(office.events, 3, headers=list(tired)),
        letter_of(office.events, 4, value=b"x" * 50_000, max_bytes=20_000),
        letter_of(office.events, 5),
        letter_of(office.events, 5),
    ])  # fmt: skip
    result = millstream("dead-letters", "replay", office.file, "--yes", "--json")
    (said,) = lines(result.out)
    assert said["messages"] == 1
    assert said["left_out"] == {"topic": 2, "headers": 1, "max_replays": 1, "gone": 1, "copies": 1}
    assert len(office.replayed()) == 1
    table = millstream("dead-letters", "replay", office.file, "--dry-run").out
    assert (
        "left out: 1 cut because they were too large, and no longer whole where they lay" in table
    )
    more = millstream("dead-letters", "replay", office.file, "--yes", "--max-replays", 4)
    assert "replayed 1 message\n" in more.out
    assert dict(office.replayed()[-1].headers)["millstream-replays"] == b"4"


def test_what_was_cut_is_fetched_whole_from_where_it_lay(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    # Larger than a client takes by default: what the topic took once, it takes again.
    office = Office(kafka, write, config={"max.message.bytes": "2000000"})
    large = b"x" * 1_500_000
    own: Headers = [("bulk", b"y" * 50_000)]
    kafka.produce(office.events, [(b"k", large, own, AT + n, 0) for n in range(4)])
    place = {"value": large, "headers": own, "max_bytes": 20_000}
    office.write([letter_of(office.events, n, timestamp=AT + n, **place) for n in range(3)])
    # The topic was made anew: another message lies there.
    office.write([letter_of(office.events, 3, timestamp=AT, **place)])
    gone = [TopicPartition(office.events, 0, 1)]
    for future in kafka.admin.delete_records(gone).values():
        future.result()
    result = millstream("dead-letters", "replay", office.file, "--yes")
    assert result.exit_code == 0, result.err
    assert "left out: 2 cut because they were too large" in result.out
    replayed = [m for m in office.replayed() if m.offset > 3]
    assert len(replayed) == 2
    for message in replayed:
        assert (message.key, message.value, message.headers[:1]) == (b"k", large, own)


def test_a_label_goes_back_to_the_labels_topic(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    office = Office(kafka, write, late=True)
    labels = f"{office.app}.verdicts"
    office.write([letter_of(labels, 3, reason="unmatched"), letter_of(office.events, 3)])
    assert millstream("dead-letters", "replay", office.file, "--yes").exit_code == 0
    assert len(office.replayed(labels)) == len(office.replayed()) == 1


def test_a_message_that_kafka_refuses_leaves_its_batch_unwritten(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    office = Office(kafka, write, config={"max.message.bytes": "20000"})
    office.write([letter_of(office.events, 1)])
    small = kafka.unique("small")
    kafka.create_topics(small, config={"max.message.bytes": "2000"})
    office.settings["events"]["topic"] = small
    file = write(office.settings)
    office.write([letter_of(small, 2), letter_of(small, 3, value=b"x" * 9_000)])
    result = millstream("dead-letters", "replay", file, "--yes")
    assert result.exit_code == 1
    assert "millstream: Kafka refuses the replay (" in result.err
    assert "messages replayed before that: 0" in result.err
    assert result.err.count("\n") == 1
    assert kafka.read(small) == []
    listed = lines(millstream("dead-letters", "list", file, "--json").out)
    assert [each["replayed"] for each in listed] == [0, 0, 0]


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("list", ["--reason", "not_jsn"], "--reason not_jsn is none: did you mean not_json?"),
        ("list", ["--stage", "eat"], "--stage eat is none: "),
        ("list", ["--since", "soon"], "--since soon is neither a duration nor a time"),
        ("replay", ["--reason", "x", "--yes"], "--reason x is none"),
        ("replay", [], "there is nobody to ask: add --yes, or --dry-run"),
        ("show", [], "either by PARTITION and OFFSET, or by --source"),
        ("show", [1], "either by PARTITION and OFFSET, or by --source"),
        ("show", [0, "--source", "t/0/1"], "either by PARTITION and OFFSET, or by --source"),
        ("show", [0, 1, "--source", "t/0/1"], "either by PARTITION and OFFSET, or by --source"),
        ("show", ["--source", "t:0:1"], "--source t:0:1 is no place: write TOPIC/PARTITION/OFFSET"),
    ],
)
def test_words_that_mean_nothing_are_exit_code_2(
    millstream: Millstream, write: Write, command: str, options: list[object], said: str
) -> None:
    result = millstream("dead-letters", command, write(inline("a")), *options)
    assert (result.exit_code, result.out) == (2, "")
    assert said in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("list", ["--partition", 3], "has no partition 3: its partitions are 0 to 2"),
        ("replay", ["--partition", 3, "--yes"], "has no partition 3"),
        ("show", [3, 0], "has no partition 3"),
        ("show", [0, 0], "there is no dead letter at "),
        ("show", ["--source", "t/0/1"], "is of a message at t/0/1"),
        ("show", ["--source", "t/7/1"], "has no partition 7"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    millstream: Millstream, office: Office, command: str, options: list[object], said: str
) -> None:
    result = millstream("dead-letters", command, office.file, *options)
    assert result.exit_code == 1
    assert said in result.err
    assert result.err.count("\n") == 1


def test_a_topic_that_is_not_there_is_one_sentence(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    result = millstream("dead-letters", "list", write(inline(kafka.unique("a"), kafka.bootstrap)))
    assert result.exit_code == 1
    assert "does not exist" in result.err


# -- without Kafka ---------------------------------------------------------------------------------


def test_a_letter_says_where_it_began_whatever_else_its_message_claims(tmp_path: Path) -> None:
    forged: Headers = [
        ("millstream-replayed-from", b"no place"),
        ("millstream-replays", b"\xff"),
        ("millstream-topic", b"\xff"),
    ]
    output = letter_of("t", 3, headers=forged)
    letter = read_letter("d", 0, Record(1, AT, output.key, output.value, output.headers))
    assert letter is not None
    assert (letter.source, letter.origin, letter.replays) == (RecordPosition("t", 0, 3),) * 2 + (0,)
    validate_dead_letter([h for h in output.headers or () if h not in forged])
