"""The path of a batch where labels are inside the events, or there are none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from river import linear_model, preprocessing
from sklearn.linear_model import LogisticRegression

from millstream.core.models.factory import wrap
from millstream.core.models.interface.learner import Answer, Features
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records.outputs import dead_letter, settings_note
from millstream.core.records.record import UNREADABLE_HEADERS, BatchResult, Headers, Record
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import DeadLetter, StateInvalid
from tests.support.processors import LINEAR, SOURCE, decoded, inline_shard, plan, record

NOW = 1_000_000
INLINE: dict[str, Any] = {"from": "event"}
NONE: dict[str, Any] = {"from": "none"}


def event(offset: int, **changes: Any) -> Record:
    """An event with an inline label."""
    fields = {"id": offset, "a": offset % 7 - 3.0, "b": 1.0, "label": offset % 7 > 2, **changes}
    return record(offset, fields, offset, key=b"k", headers=[("h", b"v")])


def work(processor: PartitionProcessor, *records: Record) -> BatchResult:
    return processor.process({"events": records}, {"events": True}, NOW)


def reasons(result: BatchResult) -> list[str]:
    return [(dict(x.headers or ())["millstream-reason"] or b"").decode()
            for x in result.dead_letters]  # fmt: skip


class Fussy(linear_model.LogisticRegression):
    """Raises where feature `b` tells it to, in the middle of what it was asked."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
        if x["b"] == -1:
            raise RuntimeError("canary")
        if x["b"] == -2:
            return {False: float("nan"), True: float("nan")}
        return super().predict_proba_one(x)

    def learn_one(self, x: Any, y: Any) -> None:
        super().learn_one(x, y)
        if x["b"] == -3:
            raise RuntimeError("canary")


def test_each_event_is_predicted_before_it_is_learned() -> None:
    processor = inline_shard()
    result = work(processor, *map(event, range(5)))
    predictions = decoded(result.predictions)
    assert [one["model"]["learned"] for one in predictions] == [0, 1, 2, 3, 4]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for offset, one in enumerate(predictions):
        features = {"a": offset % 7 - 3.0, "b": 1.0}
        probability = model.predict_proba_one(features)[True]
        assert one["probabilities"]["true"] == probability
        model.learn_one(features, offset % 7 > 2)
    assert processor.learned == 5
    assert result.counts == {
        ("consumed", "events"): 5, ("predicted",): 5, ("learned",): 5,
    }  # fmt: skip
    assert result.positions == {"events": 5}


def test_a_prediction_says_where_it_comes_from() -> None:
    result = work(inline_shard(), event(41))
    (one,) = decoded(result.predictions)
    assert one["source"] == {"topic": "events", "partition": 0, "offset": 41}
    assert one["model"] == {"name": "model", "version": "0123456789ab", "learned": 0}
    assert (one["event_time"], one["predicted_at"]) == (41, NOW)
    assert one["features"] == {"a": 3.0, "b": 1.0}
    assert result.predictions[0].key == b"k"
    assert result.predictions[0].headers == [("h", b"v")]


def test_without_a_mapped_id_the_source_position_is_the_id() -> None:
    result = work(inline_shard(events={"id": None}), event(41))
    assert decoded(result.predictions)[0]["id"] == "events-0-41"


def test_event_time_is_never_later_than_now_nor_unknown() -> None:
    processor = inline_shard()
    times = [-1, NOW + 5, NOW - 5]
    result = work(processor, *(event(i)._replace(timestamp=t) for i, t in enumerate(times)))
    assert [one["event_time"] for one in decoded(result.predictions)] == [NOW, NOW, NOW - 5]


def test_how_a_log_is_cut_into_batches_makes_no_difference() -> None:
    whole, pieces = inline_shard(), inline_shard()
    records = [event(i) for i in range(30)]
    at_once = work(whole, *records)
    one_by_one = [work(pieces, each) for each in records]
    assert at_once.predictions == [x for result in one_by_one for x in result.predictions]
    assert whole.learner.digest() == pieces.learner.digest()


def test_an_unsupervised_model_learns_from_every_event_after_answering() -> None:
    processor = InlineLabelProcessor(plan("anomaly.HalfSpaceTrees(seed=1, window_size=3)", **NONE))
    result = work(processor, *map(event, range(10)))
    assert [one["model"]["learned"] for one in decoded(result.predictions)] == list(range(10))
    assert all("score" in one for one in decoded(result.predictions))
    assert processor.learned == 10


def test_an_event_without_its_label_is_predicted_and_not_learned_where_that_is_allowed() -> None:
    spec = ModelSpec(river=LINEAR)
    base = plan(LINEAR, **INLINE, events={"label": "label"})
    labels = LabelsSpec.model_validate({"from": "event", "missing": "predict"})
    processor = InlineLabelProcessor(
        replace(
            base,
            model=spec,
            settings_versions=(SettingsVersion(0, base.settings_versions[0].events, labels),),
        )
    )
    result = work(processor, event(0, label=None), event(1))
    assert len(result.predictions) == 2
    assert processor.learned == 1
    assert result.counts["unlabelled",] == 1


class Rows(LogisticRegression):
    """A fitted model whose call for a whole batch a single row can break."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        if (X[:, 1] == -1).any():
            raise ValueError("canary")
        answers = super().predict_proba(X)
        answers[X[:, 1] == -2] = np.nan
        return answers


def static_shard(**source: Any) -> PartitionProcessor:
    features = np.array([[i % 7 - 3.0, 1.0] for i in range(20)])
    model = Rows().fit(features, [i % 7 > 2 for i in range(20)])
    spec = ModelSpec(factory="a:b")
    events = EventsSpec.model_validate({"topic": "events", "id": "id", "features": ["a", "b"]})
    return InlineLabelProcessor(
        ProcessorConfig(
            replace(SOURCE, **source), spec,
            lambda: wrap(model, spec, labelled=False, feature_names=("a", "b")),
            (SettingsVersion(0, events, LabelsSpec()),), {},
        )
    )  # fmt: skip


def assert_same_answers(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Equal but for the last bits of probabilities: a BLAS sums one row unlike many."""
    for one, other in zip(some, others, strict=True):
        probabilities, expected = one.pop("probabilities"), other.pop("probabilities")
        assert probabilities == pytest.approx(expected, rel=1e-12)
        assert one == other


def test_a_batched_model_answers_as_it_would_one_by_one() -> None:
    records = [event(i) for i in range(20)]
    at_once = work(static_shard(), *records)
    processor = static_shard()
    assert processor.learner.traits.batched
    one_by_one = [work(processor, each) for each in records]
    assert_same_answers(
        decoded(at_once.predictions),
        [one for result in one_by_one for one in decoded(result.predictions)],
    )
    assert processor.learned == 0


def test_one_row_that_breaks_a_batch_is_one_dead_letter() -> None:
    records = [event(0), event(1, b=-1), record(2, None, 2), event(3, b=-2), event(4),
               event(5, b="x"), event(6)]  # fmt: skip
    result = work(static_shard(), *records)
    assert [one["source"]["offset"] for one in decoded(result.predictions)] == [0, 4, 6]
    assert sorted(reasons(result)) == ["feature_type", "not_finite", "predict_error"]
    assert result.counts["skipped", "tombstone"] == 1
    clean = work(static_shard(), event(0), event(4), event(6))
    assert_same_answers(decoded(result.predictions), decoded(clean.predictions))


def test_a_batch_without_one_good_event_asks_the_model_nothing() -> None:
    result = work(static_shard(), record(0, b"", 0), record(1, None, 0))
    assert reasons(result) == ["empty"]
    assert result.positions == {"events": 2}


def test_nothing_comes_of_no_records() -> None:
    processor = inline_shard()
    processor.announce([settings_note(0, 0, "v", {})])
    assert not work(processor)
    assert work(processor, event(0)).notes


def test_a_model_that_raises_when_it_predicts_makes_a_dead_letter_and_goes_on() -> None:
    processor, clean = inline_shard(make=Fussy), inline_shard(make=Fussy)
    result = work(processor, event(0), event(1, b=-1), event(2))
    assert reasons(result) == ["predict_error"]
    (letter,) = result.dead_letters
    headers = dict(letter.headers or ())
    assert headers["millstream-stage"] == b"predict"
    assert headers["millstream-detail"] == b"RuntimeError"  # not what the model says: it may quote
    work(clean, event(0), event(2))
    assert processor.learner.digest() == clean.learner.digest()


def test_a_model_that_raises_over_text_makes_a_dead_letter_that_names_the_features_with_text() -> (
    None
):
    processor = inline_shard(
        make=lambda: preprocessing.MinMaxScaler() | linear_model.PAClassifier()
    )
    good = event(0), event(1)
    result = work(processor, *good, event(2, a="12,5", b="secret"), event(3, a="x"))
    details = [dict(x.headers or ())["millstream-detail"] for x in result.dead_letters]
    assert details == [
        b"TypeError; there is text in a, b: does the model take text there?",
        b"TypeError; there is text in a: does the model take text there?",
    ]
    with pytest.raises(StateInvalid, match=r"learn_error: TypeError; there is text in b: "):
        work(inline_shard(), event(0), event(1, b="x"))


def test_an_answer_that_is_not_finite_is_a_dead_letter_and_not_learned() -> None:
    processor = inline_shard(make=Fussy)
    result = work(processor, event(0), event(1, b=-2), event(2))
    assert reasons(result) == ["not_finite"]
    assert len(result.predictions) == 2
    assert processor.learned == 2


def test_a_model_that_breaks_while_it_learns_needs_a_restore_that_leaves_the_event_out() -> None:
    records = [event(0), event(1, b=-3), event(2)]
    with pytest.raises(StateInvalid) as caught:
        work(inline_shard(make=Fussy), *records)
    assert (caught.value.side, caught.value.offset) == ("events", 1)
    assert (caught.value.skip.reason, caught.value.skip.detail) == ("learn_error", "RuntimeError")

    skips = {(caught.value.side, caught.value.offset): caught.value.skip}
    again, clean = inline_shard(make=Fussy, skips=skips), inline_shard(make=Fussy)
    result = work(again, *records)
    assert reasons(result) == ["learn_error"]
    assert result.dead_letters[0].value == records[1].value
    assert len(result.predictions) == 2
    work(clean, event(0), event(2))
    assert again.learner.digest() == clean.learner.digest()
    assert again.learned == 2


def era(start: int, **events: Any) -> SettingsVersion:
    spec = {"topic": "events", "id": "id", "label": "label", "features": ["a", "b"], **events}
    return SettingsVersion(
        start, EventsSpec.model_validate(spec), LabelsSpec.model_validate({"from": "event"})
    )


@pytest.mark.parametrize("size", [1, 3, 4, 5, 10])
def test_settings_change_at_their_offset_in_whatever_batches_it_comes(size: int) -> None:
    base = plan(LINEAR, **INLINE, events={"label": "label"})
    settings_versions = (era(0), era(4, bounds={"a": [0, None]}), era(7, features=["b"]))
    processor = InlineLabelProcessor(replace(base, settings_versions=settings_versions))
    records = [event(i, a=-1.0) for i in range(10)]
    letters, predictions = [], []
    for first in range(0, 10, size):
        result = work(processor, *records[first : first + size])
        letters += [dict(x.headers or ())["millstream-offset"] for x in result.dead_letters]
        predictions += decoded(result.predictions)
    assert letters == [b"4", b"5", b"6"]
    assert [list(one["features"]) for one in predictions] == [["a", "b"]] * 4 + [["b"]] * 3


def test_an_era_without_a_record_of_its_own_is_passed_over() -> None:
    base = plan(LINEAR, **INLINE, events={"label": "label"})
    processor = InlineLabelProcessor(
        replace(base, settings_versions=(era(0), era(3, bounds={"a": [5, 6]}), era(5)))
    )
    result = work(processor, event(2, a=1.0), event(9, a=1.0))  # offsets have gaps
    assert len(result.predictions) == 2


def test_a_prediction_too_large_to_be_written_is_a_dead_letter_and_not_learned() -> None:
    small = replace(SOURCE, max_bytes=2_000)
    model = "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"
    processor, clean = inline_shard(model, source=small), inline_shard(model, source=small)
    result = work(processor, event(0), event(1, a="x" * 2_000), event(2))
    assert reasons(result) == ["too_large"]
    work(clean, event(0), event(2))
    assert processor.learner.digest() == clean.learner.digest()
    assert processor.learned == 2


def test_a_dead_letter_that_would_be_too_large_is_cut_and_says_so() -> None:
    small = replace(SOURCE, max_bytes=4_000)
    value = b"x" * 10_000
    result = work(inline_shard(source=small), Record(5, 0, b"key", value, [("h", b"v")]))
    (letter,) = result.dead_letters
    headers = dict(letter.headers or ())
    assert headers["millstream-truncated"] == b"10000"
    assert headers["millstream-offset"] == b"5"
    assert headers["h"] == b"v"
    assert letter.value is not None
    assert value.startswith(letter.value)
    size = len(letter.value) + 3 + sum(len(n) + len(v or b"") for n, v in letter.headers or ())
    assert 2_000 < size < 4_000


def test_a_dead_letter_that_fits_is_whole() -> None:
    (letter,) = work(inline_shard(), Record(5, 0, None, b"x" * 10_000, None)).dead_letters
    assert letter.value == b"x" * 10_000
    assert "millstream-truncated" not in dict(letter.headers or ())


def test_announced_notes_go_out_with_the_first_outcome_alone() -> None:
    processor = inline_shard()
    notes = [settings_note(0, 3, "v", {}), settings_note(0, 7, "v", {})]
    processor.announce(notes)
    assert work(processor, event(0)).notes == notes
    assert work(processor, event(1)).notes == []


def test_headers_that_cannot_be_read_are_a_dead_letter_without_them() -> None:
    processor = inline_shard()
    result = work(processor, event(0)._replace(headers=UNREADABLE_HEADERS), event(1))
    assert reasons(result) == ["headers"]
    assert len(result.predictions) == 1
    assert UNREADABLE_HEADERS == []
    # An event that simply has none is a good one.
    assert len(work(processor, event(2)._replace(headers=[])).predictions) == 1


def test_a_skip_comes_before_everything_else() -> None:
    bad = DeadLetter("learn_error", "x")
    processor = inline_shard(skips={("events", 0): bad, ("events", 1): bad})
    result = work(processor, record(0, None, 0), record(1, b"", 0), event(2))
    assert reasons(result) == ["learn_error", "learn_error"]


class Counting:
    """A learner that writes down how it was called."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def predict(self, features: Features) -> Answer:
        self.calls.append("predict")
        return self._inner.predict(features)

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        self.calls.append(f"predict {len(rows)}")
        return self._inner.predict_many(rows)


def test_a_static_model_is_called_once_for_a_batch() -> None:
    processor = static_shard()
    processor.model.learner = counting = Counting(processor.learner)
    work(processor, *map(event, range(5)), record(5, b"", 0))
    assert counting.calls == ["predict 5"]


def test_a_dead_letter_fits_into_a_message_whatever_the_headers_take() -> None:
    largest = 0
    for size in range(998_900, 999_100):
        headers: Headers = [("h", b"x" * size)]
        letter = dead_letter(
            SOURCE, "events", Record(0, 0, None, b"v" * 2_000_000, headers), DeadLetter("not_json")
        )
        taken = sum(len(name) + len(value or b"") for name, value in letter.headers or [])
        largest = max(largest, len(letter.value or b"") + taken)
    assert largest <= SOURCE.max_bytes


def test_an_event_that_was_too_large_is_noted_so_that_a_replay_leaves_it_out_as_well() -> None:
    processor = inline_shard(source=replace(SOURCE, max_bytes=9_000))
    document = {"id": 1, "a": 1.0, "b": 1.0, "label": True}
    large = record(0, document, 1, headers=[("h", b"x" * 9_000)])
    result = processor.process({"events": [large]}, {}, 2)
    (note,) = result.notes
    assert note.key == b"0/skip/events/0"
    assert processor.learned == 0
    noted = inline_shard(skips={("events", 0): DeadLetter("too_large")})
    assert noted.process({"events": [large]}, {}, 2).notes == []
    assert noted.learned == 0
