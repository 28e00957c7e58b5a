"""The suite would notice: what a runner got right, with one thing wrong in it, does not pass."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.conformance.adapter import Seen
from tests.conformance.adapters.memory import Adapter
from tests.conformance.check import check
from tests.conformance.play import Played, play
from tests.conformance.scenario import LATE, Scenario, event, label, one_by_one, raw

SCENARIO = Scenario(
    "one of each",
    LATE,
    one_by_one(
        event(1, x=1.0, y=2.0, headers=[("h", b"1")]), event(2, x=2.0, y=1.0), label(1, True),
        raw(b"bad", side="labels"), label(2, False), label(2, True),
    ),
    ("p1 p2 l1 l2",),
    ("labels/0/1 not_json",),
    examples=("learned 1", "learned 2"),
    counts={"skipped duplicate_label": 1},
)  # fmt: skip


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(SCENARIO, Adapter, "right", tmp_path_factory.mktemp("right"), None)


def test_what_is_right_passes(played: Played) -> None:
    check(SCENARIO, played)


def _edited(seen: list[Seen], **changes: Any) -> list[Seen]:
    """The first record says something else."""
    document = orjson.loads(seen[0].value or b"")
    return [seen[0]._replace(value=orjson.dumps({**document, **changes})), *seen[1:]]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p._replace(predictions=p.predictions[:-1]),
        lambda p: p._replace(predictions=p.predictions[::-1]),
        lambda p: p._replace(predictions=[*p.predictions, p.predictions[-1]]),
        lambda p: p._replace(predictions=_edited(p.predictions, prediction=True)),
        lambda p: p._replace(predictions=_edited(p.predictions, id="1")),
        lambda p: p._replace(predictions=_edited(p.predictions, event_time=1)),
        lambda p: p._replace(
            predictions=[p.predictions[0]._replace(headers=[]), p.predictions[1]]
        ),
        lambda p: p._replace(
            predictions=[p.predictions[0]._replace(key=b"2"), p.predictions[1]]
        ),
        lambda p: p._replace(dead_letters=[]),
        lambda p: p._replace(dead_letters=[p.dead_letters[0]._replace(value=b"else")]),
        lambda p: p._replace(examples=p.examples[::-1]),
        lambda p: p._replace(examples=p.examples[:1]),
        lambda p: p._replace(digests={0: "another"}),
        lambda p: p._replace(learned={0: 3}),
        lambda p: p._replace(counts=Counter({**p.counts, "skipped duplicate_label": 2})),
        lambda p: p._replace(counts=Counter({**p.counts, "consumed labels": 3})),
        lambda p: p._replace(ended="the worker gave up"),
    ],
    ids=[
        "a prediction less", "another order", "a prediction twice", "another answer", "another id",
        "another time", "no headers", "another key", "no dead letter", "another dead letter",
        "another order learned", "an example less", "other weights", "another number learned",
        "another count", "a label not taken", "an end",
    ],
)  # fmt: skip
def test_what_is_wrong_does_not(played: Played, wrong: Callable[[Played], Played]) -> None:
    with pytest.raises(AssertionError):
        check(SCENARIO, wrong(played))
