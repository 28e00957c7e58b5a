"""`send` publishes events and labels where and when they belong."""

from pathlib import Path

import orjson

from millstream.kafka.partitioners import murmur2_partition
from tests.cli.conftest import delayed, inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka


def test_a_river_data_set_becomes_events_with_labels_inside(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", partitions=3)
    path = write(inline(app, kafka.bootstrap))
    result = millstream("send", path, "river:Phishing", "--limit", 300)
    assert result.exit_code == 0, result.err
    assert f"sent 300 events to {app}.sites" in result.out
    messages = kafka.read(f"{app}.sites")
    assert sorted(m.json["id"] for m in messages) == list(range(1, 301))
    for message in messages:
        assert message.key == str(message.json["id"]).encode()
        assert message.partition == murmur2_partition(message.key, 3)
        assert list(message.json)[-1] == "phishing"
        assert isinstance(message.json["phishing"], bool)


def test_running_numbers_are_named_and_go_on_where_asked(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites")
    path = write(inline(app, kafka.bootstrap))
    first = millstream("send", path, "river:Phishing", "--limit", 3)
    assert "with running numbers 1 to 3 as ids (next: --first-id 4)" in first.out
    assert millstream("send", path, "river:Phishing", "--limit", 2, "--first-id", 4).exit_code == 0
    assert [m.json["id"] for m in kafka.read(f"{app}.sites")] == [1, 2, 3, 4, 5]


def test_ids_of_a_file_arrive_as_they_stand_there(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites")
    lines = tmp_path / "a.csv"
    ids = ["007", "7", "1e5", str(2**70)]
    lines.write_text("id,x\n" + "".join(f"{each},1\n" for each in ids), encoding="utf-8")
    result = millstream("send", write(inline(app, kafka.bootstrap)), lines)
    assert result.out == f"sent 4 events to {app}.sites\n"
    messages = kafka.read(f"{app}.sites")
    assert [m.json["id"] for m in messages] == ["007", 7, "1e5", str(2**70)]
    assert [m.key for m in messages] == [each.encode() for each in ids]


def test_labels_follow_so_many_events_later_in_message_time(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", f"{app}.verdicts")
    path = write(delayed(app, kafka.bootstrap))
    result = millstream("send", path, "river:Phishing", "--limit", 100, "--labels-after", 10)
    assert result.exit_code == 0, result.err
    events = {m.json["site"]["id"]: m for m in kafka.read(f"{app}.sites")}
    labels = {m.json["site"]: m for m in kafka.read(f"{app}.verdicts")}
    times = [events[number].timestamp for number in range(1, 101)]
    assert times == sorted(set(times))
    assert labels.keys() == events.keys()
    for number in range(1, 91):
        assert labels[number].timestamp == events[number + 10].timestamp
    assert min(labels[number].timestamp for number in range(91, 101)) > times[-1]
    assert labels[1].json == {"site": 1, "verdict": {"phishing": True}}
    assert "phishing" not in (events[1].value or b"").decode()
    assert events[1].json["page"]["https"] == 0.0


def test_labels_follow_after_a_time(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", f"{app}.verdicts")
    lines = tmp_path / "a.jsonl"
    rows = [{"site": {"id": f"s{n}"}, "verdict": {"phishing": n % 2 == 0}} for n in range(5)]
    lines.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    path = write(delayed(app, kafka.bootstrap))
    result = millstream("send", path, lines, "--labels-delay", "150ms", "--rate", 50)
    assert result.exit_code == 0, result.err
    events, labels = kafka.read(f"{app}.sites"), kafka.read(f"{app}.verdicts")
    assert [m.json["site"] for m in labels] == [f"s{n}" for n in range(5)]
    for event, label in zip(events, labels, strict=True):
        assert label.timestamp >= event.timestamp + 150


def test_labels_that_no_record_has_are_told_of(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", f"{app}.verdicts")
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(orjson.dumps({"site": {"id": "s"}, "is_phishing": True}))
    result = millstream("send", write(delayed(app, kafka.bootstrap)), lines, "--labels-after", 1)
    assert "no label was sent: labels.label names the field" in result.err


def test_delayed_labels_are_left_out_unless_asked_for(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", f"{app}.verdicts")
    path = write(delayed(app, kafka.bootstrap))
    assert millstream("send", path, "river:Phishing", "--limit", 5).exit_code == 0
    assert kafka.end_offsets(f"{app}.verdicts") == {0: 0}


def test_options_that_make_no_sense_are_exit_code_2(millstream: Millstream, write: Write) -> None:
    path = write(inline("a"))
    result = millstream("send", path, "river:Phishing", "--labels-after", 3)
    assert (result.exit_code, result.out) == (2, "")
    assert "labels.from is event" in result.err
    path = write(delayed("a"))
    both = ("--labels-after", 3, "--labels-delay", "3s")
    assert "not both" in millstream("send", path, "river:Phishing", *both).err
    result = millstream("send", path, "river:Phishing", "--labels-delay", "soon")
    assert (result.exit_code, "soon is no duration" in result.err) == (2, True)


def test_a_missing_topic_is_named_with_the_command_that_creates_it(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("send")
    path = write(inline(app, kafka.bootstrap))
    result = millstream("send", path, "river:Phishing")
    assert result.exit_code == 1
    assert f"topic {app}.sites does not exist" in result.err
    assert f"millstream topics create {path}" in result.err


def test_a_broken_line_does_not_lose_what_was_sent_before_it(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites")
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"id": 1}\n{"id": 2}\nbroken\n', encoding="utf-8")
    result = millstream("send", write(inline(app, kafka.bootstrap)), lines)
    assert result.exit_code == 1
    assert "line 3: not JSON" in result.err
    assert "2 events were sent before that" in result.err
    assert [m.json["id"] for m in kafka.read(f"{app}.sites")] == [1, 2]


def test_an_event_that_the_broker_refuses_is_exit_code_1(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites", config={"max.message.bytes": "2000"})
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(orjson.dumps({"id": "x" * 5000}))
    result = millstream("send", write(inline(app, kafka.bootstrap)), lines)
    assert result.exit_code == 1
    assert "1 of 1 records were not delivered" in result.err


def test_a_record_that_the_client_refuses_is_exit_code_1(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.sites")
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b'{"id": 1}\n' + orjson.dumps({"id": "x" * 2_000_000}))
    result = millstream("send", write(inline(app, kafka.bootstrap)), lines)
    assert result.exit_code == 1
    assert result.err.startswith(f"millstream: cannot send a record to {app}.sites: ")
    assert "1 events were sent before that" in result.err
    assert len(kafka.read(f"{app}.sites")) == 1


def test_labels_alone_go_to_their_topic_from_a_file_of_ids_and_labels(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    kafka.create_topics(f"{app}.verdicts", partitions=3)
    path = write(delayed(app, kafka.bootstrap))
    file = tmp_path / "labels.csv"
    file.write_text("site,phishing\n007,true\n7,false\n8,\n", encoding="utf-8")
    result = millstream("send", path, file, "--to", "labels")
    assert (result.exit_code, result.out) == (0, f"sent 2 labels to {app}.verdicts\n"), result.err
    assert "1 records have no field verdict.phishing, or nothing in it" in result.err
    labels = {m.key: m for m in kafka.read(f"{app}.verdicts")}
    assert {key: m.json for key, m in labels.items()} == {
        b"007": {"site": "007", "verdict": {"phishing": True}},
        b"7": {"site": 7, "verdict": {"phishing": False}},
    }
    assert all(m.partition == murmur2_partition(key, 3) for key, m in labels.items())


def test_labels_alone_that_cannot_be_sent_are_one_sentence(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("send")
    file = tmp_path / "labels.csv"
    file.write_text("site,phishing\n1,true\n,true\n", encoding="utf-8")
    path = write(delayed(app, kafka.bootstrap))
    missing = millstream("send", path, file, "--to", "labels")
    assert f"topic {app}.verdicts does not exist" in missing.err
    assert f"{app}.sites" not in missing.err
    kafka.create_topics(f"{app}.verdicts")
    result = millstream("send", path, file, "--to", "labels")
    assert result.exit_code == 1
    assert "record 2 has no value at site: a label needs the id of its event" in result.err
    assert "(1 labels were sent before that)" in result.err
    assert len(kafka.read(f"{app}.verdicts")) == 1


def test_a_missing_labels_topic_of_an_app_that_does_not_learn_is_one_sentence(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    settings = delayed(kafka.unique("send"), kafka.bootstrap)
    settings["model"]["learn"] = False
    result = millstream("send", write(settings), "labels.csv", "--to", "labels")
    assert result.exit_code == 1
    assert "does not exist, and this app does not read it" in result.err
    assert "topics create" not in result.err


def test_labels_alone_need_a_topic_and_no_delay(millstream: Millstream, write: Write) -> None:
    result = millstream("send", write(inline("a")), "labels.csv", "--to", "labels")
    assert (result.exit_code, "labels.from is event" in result.err) == (2, True)
    delay = ("--to", "labels", "--labels-after", 3)
    result = millstream("send", write(delayed("a")), "labels.csv", *delay)
    assert (result.exit_code, "leave them out with --to labels" in result.err) == (2, True)
