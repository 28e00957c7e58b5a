"""The benchmarks run, and say what they are meant to say; how fast anything is, no test asks."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from benchmarks import environments
from benchmarks.__main__ import main
from benchmarks.child import BenchmarkError, Loop
from benchmarks.contenders import Contender, Millstream, Peer
from benchmarks.latency import Latency, percentile
from benchmarks.measure import compare
from benchmarks.parts import limits
from benchmarks.parts.selection import (
    BARE,
    COMPARISONS,
    LEAST,
    ONCE,
    PLAIN,
    STATIC_LEAST,
    STATIC_ONCE,
)
from benchmarks.peers.pass_through import Through
from benchmarks.peers.work import Work
from benchmarks.rates import Measure, Run
from benchmarks.report import show
from benchmarks.results import Comparison, Limit, Results
from benchmarks.same import check_same
from benchmarks.stage import Stage
from benchmarks.workloads import delayed, learning
from rich.console import Console

from tests.support.kafka.cluster import Kafka, wait_until

ROOT = Path(__file__).parents[2]
CONTENDERS = [BARE, ONCE, LEAST, PLAIN, STATIC_ONCE, STATIC_LEAST]
MODELS = {"logistic regression", "random forest (100)"}
PNG = b"\x89PNG"


def run(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.kafka
def test_a_quick_run_measures_everything(kafka: Kafka, tmp_path: Path) -> None:
    done = run(
        "--quick", "--json", "--into", str(tmp_path), KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap
    )
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)["selection"]
    assert [(each["of"], each["to"]) for each in found["ratios"]] == [
        (each.of, each.to) for each in COMPARISONS
    ]
    assert all(each["ratio"] > 0 for each in found["ratios"])
    assert list(found["rates"]) == CONTENDERS
    latency = found["latency_ms"][ONCE]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["largest"]
    assert set(found["microseconds_per_row"]) == MODELS
    assert (tmp_path / "selection.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    "command",
    [
        "benchmarks.core_path --events 200 --rounds 1",
        "benchmarks.waiting --waiting 200 --pairs 50 --rounds 1",
    ],
)
def test_what_is_measured_without_kafka_runs_too(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_workers_take_turns_while_predictions_wait(kafka: Kafka) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.waiting_many", "--waiting=500", "--pairs=400",
         "--rounds=2"],
        cwd=ROOT, env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"disk / memory \d", done.stdout)


class Event:
    """An event as a consumer gives it."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def value(self) -> bytes:
        return self._raw


def test_a_pass_through_writes_what_it_got_or_as_much_as_predictions_take() -> None:
    raws = list(learning().events(3))
    messages: list[Any] = [Event(raw) for raw in raws]
    assert Through("events", "bytes").many(messages) == raws
    assert [orjson.loads(each) for each in Through("events", "json").many(messages)] == [
        orjson.loads(raw) for raw in raws
    ]
    filled = Through("events", "predictions").many(messages)
    assert [each.rstrip() for each in filled] == raws
    predictions = Work("events", None).many(raws, range(3), [1_800_000_000_000] * 3)
    assert {len(each) for each in filled} == {sum(map(len, predictions)) // 3}


def test_the_bare_loop_and_the_floor_in_turn_take_the_time_of_both() -> None:
    found = limits.with_both_in_turn(
        Results([Comparison(ONCE, BARE)], {ONCE: [30.0], BARE: [60.0], limits.FLOOR: [120.0]})
    )
    assert found.rates[limits.IN_TURN] == pytest.approx([40.0])
    assert [(each.comparison.of, each.value) for each in found.ratios()] == [
        (ONCE, 0.5), (limits.IN_TURN, pytest.approx(2 / 3)), (ONCE, pytest.approx(0.75)),
    ]  # fmt: skip
    without = Results(rates={ONCE: [30.0], BARE: [60.0]})
    assert limits.with_both_in_turn(without) is without


@pytest.mark.kafka
def test_a_pass_through_and_labels_that_come_later_are_measured_too(
    kafka: Kafka, tmp_path: Path
) -> None:
    stage = Stage(kafka, tmp_path)
    through = Measure(50_000, answers=False)
    everyone: list[Contender] = [
        Peer(
            stage, learning(), "through", through, "pass_through",
            what="predictions", transaction_ms=20,
        ),
        Millstream(stage, delayed(100), "exactly_once", "later", Measure(5_000)),
    ]  # fmt: skip
    comparisons = [Comparison("later", "through", tolerance=None)]
    try:
        found = compare(everyone, comparisons, 1, lambda _: None, strict=True)
    finally:
        stage.close()
    assert found.ratios()[0].value > 0


def test_without_kafka_one_sentence_says_what_is_missing() -> None:
    done = run("--quick", KAFKA_BOOTSTRAP_SERVERS="", PATH="")
    assert done.returncode == 1
    assert done.stderr.startswith("no result: no Kafka: set KAFKA_BOOTSTRAP_SERVERS")
    assert "Traceback" not in done.stderr


def test_a_part_that_there_is_not_is_one_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(part=["peer"])
    said = capsys.readouterr().err
    assert said.startswith("no result: there is no part 'peer'; there are selection, limits,")


def made_up(floor: float | None = None) -> Results:
    return Results(
        [Comparison(ONCE, BARE, floor), Comparison(STATIC_ONCE, PLAIN)],
        {ONCE: [1.0, 6.0, 9.0], BARE: [2.0, 10.0, 10.0], STATIC_ONCE: [1.0] * 3, PLAIN: [1.0] * 3},
        {ONCE: [Latency(1, 20, 25, 30, 0.5), Latency(3, 22, 30, 40, 0.7),
                Latency(2, 90, 93, 95, 0.6)]},
        {ONCE: 1000.0},
        [Limit(ONCE, "p99", 21)],
        [{"logistic regression": {"1": 100.0, "512": 1.0}}],
        {ONCE: [(0.0, 100.0), (1.0, 110.0)]},
        {"someone": "it ended by itself"},
    )  # fmt: skip


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    ratio = made_up(floor=0.6).ratios()[0]
    assert (ratio.value, ratio.lowest, ratio.highest) == (0.6, 0.5, 0.9)
    assert ratio.met
    assert not made_up(floor=0.61).ratios()[0].met


def test_the_tables_hold_every_result_ratios_first() -> None:
    text = StringIO()
    show(made_up(floor=0.7), Console(file=text, width=100))
    printed = text.getvalue()
    for expected in ("0.70 NOT met", "0.50 - 0.90", "22.0", "1/100", *made_up().rates):
        assert expected in printed
    assert printed.index("0.60") < printed.index("events/s")


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 201)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [100.0, 198.0, 200.0]
    assert percentile([7.0], 50) == 7.0


def test_contenders_that_publish_less_or_answer_otherwise_are_not_compared() -> None:
    document = {"id": 1, "model": {"name": "a", "learned": 1}, "probabilities": {"true": 0.5}}
    check_same("a and b", document, {**document, "model": {"name": "b", "learned": 1}})
    with pytest.raises(BenchmarkError, match=r"^a and b do not publish the same: probabilities$"):
        check_same("a and b", document, {key: document[key] for key in ("id", "model")})
    otherwise = {**document, "probabilities": {"true": 0.5000000000000001}}
    with pytest.raises(BenchmarkError, match=r"probabilities\.true"):
        check_same("a and b", document, otherwise)
    check_same("a and b", document, otherwise, tolerance=1e-12)


def test_results_are_read_from_their_file_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "some" / "part.json"
    made_up(0.6).write(file)
    assert Results.read(file).document() == made_up(0.6).document() | {
        "measured": Results.read(file).measured
    }


def test_the_page_is_made_from_files_and_has_no_rate_without_its_ratio(tmp_path: Path) -> None:
    made_up(floor=0.7).write(tmp_path / "peers.json")
    main(everything=True, report=True, into=tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert f"| {ONCE} | {BARE} | **0.60** | 0.50 to 0.90 | ≥ 0.7: NOT met | 6 / 10 |" in page
    assert "p99 ≤ 21: NOT met" in page
    assert "- someone: it ended by itself" in page
    assert "![Beside others](peers.png)" in page
    assert (tmp_path / "peers.png").read_bytes().startswith(PNG)


class MadeUp:
    def __init__(self, name: str, answer: float | None) -> None:
        self.name = name
        self._answer = answer

    def run(self) -> Run:
        if self._answer is None:
            raise BenchmarkError("3 of 5 events did not come out; Traceback ...")
        return Run(1.0, {499: {"score": self._answer}})


def test_one_that_fails_or_answers_otherwise_does_not_count_and_is_named() -> None:
    everyone = [MadeUp("us", 0.5), MadeUp("same", 0.5), MadeUp("other", 0.6), MadeUp("none", None)]
    comparisons = [Comparison("us", each.name) for each in everyone[1:]]
    found = compare(everyone, comparisons, 2, lambda _: None)
    assert list(found.rates) == ["us", "same"]
    assert found.comparisons == comparisons[:1]
    assert found.failures == {
        "other": "'us' and 'other' do not publish the same: score",
        "none": "3 of 5 events did not come out",
    }
    with pytest.raises(BenchmarkError, match=r"^none: 3 of 5"):
        compare(everyone, comparisons, 2, lambda _: None, strict=True)


@pytest.mark.parametrize("file", sorted(environments.PEERS.glob("*.txt")), ids=lambda f: f.stem)
def test_what_a_peer_needs_has_bounds_on_both_sides(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    bounded = re.compile(r"[a-z-]+(\[[a-z]+\])?>=[0-9.]+,<[0-9.]+")
    assert lines
    assert [line for line in lines if not bounded.fullmatch(line)] == []
    assert environments.packages(file.stem)[0] == re.split(r"[\[>]", lines[0])[0]


@pytest.mark.parametrize("name", ["spark", "flink"])
def test_a_connector_is_of_the_release_that_it_is_made_for(name: str) -> None:
    (connector,) = environments.connectors(name).values()
    release = re.split(r"[>=,<]+", (environments.PEERS / f"{name}.txt").read_text())[1]
    made_for = connector.rpartition("-")[2]
    assert f"{release}.".startswith(f"{made_for}.")


def test_a_peer_on_java_is_not_begun_without_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmarkError, match=r"^spark needs Java 17 and Maven, .* no java$"):
        environments.interpreter("spark")
    assert not list(tmp_path.iterdir())


def test_what_a_peer_has_started_ends_with_it(tmp_path: Path) -> None:
    loop = Loop("none", tmp_path / "log")
    loop.command = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '300'])"]
    with loop:
        group = loop.process.pid
        wait_until(lambda: len(alive(group)) == 2, 30, "it has a child")
    wait_until(lambda: not alive(group), 30, "both are gone")


def alive(group: int) -> list[str]:
    """Processes of a group that are no zombies."""
    done = subprocess.run(
        ["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True, check=True
    )
    found = [line.split() for line in done.stdout.splitlines()]
    return [state for of, state in found if int(of) == group and not state.startswith("Z")]
