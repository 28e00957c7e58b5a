"""The worker beside the bare loop of the same model, for models of several prices."""

from collections.abc import Iterator

from benchmarks.contenders import Bare, Contender, Millstream
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.parts.selection import CLOSE
from benchmarks.rates import Measure
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import RIVER, Workload, learning, static

FEATURES = (9, 50, 200)
RATES = {
    "scaler and logistic": (40_000, 11_000, 3_000),
    "Hoeffding tree": (20_000, 5_000, 1_300),
    "ARF of 10": (1_500, 1_000, 500),
    "half-space trees": (15_000, 9_000, 4_000),
    "static logistic": (80_000, 40_000, 14_000),
    "static forest of 100": (50_000, 30_000, 12_000),
}
"""Events a second that are about to be expected, by number of features."""
FLOORS = {"ARF of 10": 0.97, "scaler and logistic": 0.85}
"""Of the ratio, with nine features and, for the former, with more."""
FOREST, LOGISTIC = "static forest of 100", "static logistic"


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Compare each model's worker with its bare loop."""
    everyone: list[Contender] = []
    comparisons = []
    for model, features, rate in _all():
        work = _workload(stage, model, features)
        name = f"{model}, {features} features"
        bare = f"{name}: bare loop"
        events = sizes.events(rate)
        everyone += [
            Bare(work, bare, events),
            Millstream(stage, work, "exactly_once", name, Measure(events)),
        ]
        floor = FLOORS.get(model) if model == "ARF of 10" or features == FEATURES[0] else None
        tolerance = 0.0 if model in RIVER else CLOSE
        comparisons.append(Comparison(name, bare, floor, tolerance))
    return compare(everyone, comparisons, sizes.rounds, say)


def _all() -> Iterator[tuple[str, int, int]]:
    for model, rates in RATES.items():
        for features, rate in zip(FEATURES, rates, strict=True):
            yield model, features, rate


def _workload(stage: Stage, model: str, features: int) -> Workload:
    if model in RIVER:
        return learning(model, features)
    return static(stage.folder, "forest" if model == FOREST else "logistic", features)


PART = Part(
    "models",
    "Models, cheap and dear",
    "The exactly-once worker beside the bare loop of the same model, without Kafka: what is left "
    "of the model's own rate. More features are those of Phishing with noise.",
    285,
    measure,
)
