"""Every scenario on every runner: one test each."""

import importlib
import pkgutil
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import adapters
from tests.conformance.adapter import Adapter
from tests.conformance.check import check
from tests.conformance.play import Played, play
from tests.conformance.scenario import Scenario
from tests.conformance.scenarios import SCENARIOS

RUNNERS: dict[str, type[Adapter]] = {
    module.name: importlib.import_module(f"{adapters.__name__}.{module.name}").Adapter
    for module in pkgutil.iter_modules(adapters.__path__)
}


def _parameters() -> Iterator[Any]:
    for runner, adapter in RUNNERS.items():
        for scenario in SCENARIOS:
            guarantee = scenario.settings.get("processing_guarantee", adapter.guarantees[0])
            if guarantee in adapter.guarantees:
                marks = [pytest.mark.kafka] if adapter.needs_kafka else []
                name = scenario.name.replace(" ", "-")
                yield pytest.param(runner, scenario, id=f"{runner}-{name}", marks=marks)


class _Stage:
    """Plays the scenarios of a runner, several at once, ahead of the tests that ask for them.

    A worker on Kafka waits most of the time; one after the other they would take minutes.
    """

    def __init__(self, session: pytest.Session, folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._pools: list[ThreadPoolExecutor] = []
        self._plays: dict[str, dict[str, Future[Played]]] = {}

    def played(self, runner: str, scenario: Scenario, kafka: Any) -> Played:
        """What comes of a scenario; raises what went wrong in it."""
        if runner not in self._plays:
            self._plays[runner] = self._begin(runner, kafka)
        return self._plays[runner][scenario.name].result()

    def _begin(self, runner: str, kafka: Any) -> dict[str, Future[Played]]:
        adapter = RUNNERS[runner]
        pool = ThreadPoolExecutor(adapter.at_once, thread_name_prefix=runner)
        self._pools.append(pool)
        return {
            scenario.name: pool.submit(
                play, scenario, adapter, f"{runner}-{uuid.uuid4().hex[:10]}", self._folder, kafka
            )
            for scenario in self._selected(runner)
        }

    def _selected(self, runner: str) -> Iterator[Scenario]:
        for item in self._session.items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            if parameters.get("runner") == runner:
                yield parameters["scenario"]

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Stage]:
    stage = _Stage(request.session, tmp_path_factory.mktemp("conformance"))
    yield stage
    stage.close()


@pytest.mark.parametrize(("runner", "scenario"), list(_parameters()))
def test_a_runner_does_what_the_scenario_says(
    request: pytest.FixtureRequest, stage: _Stage, runner: str, scenario: Scenario
) -> None:
    adapter = RUNNERS[runner]
    if missing := adapter.why_not():
        pytest.skip(missing)
    kafka = request.getfixturevalue("kafka") if adapter.needs_kafka else None
    check(scenario, stage.played(runner, scenario, kafka))


def test_there_are_forty_scenarios_and_no_two_of_a_name() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 40
