"""All scenarios, by what they are about."""

from tests.conformance.scenario import Scenario
from tests.conformance.scenarios.faults import FAULTS
from tests.conformance.scenarios.fields import FIELDS
from tests.conformance.scenarios.inputs import INPUTS
from tests.conformance.scenarios.late import LATE_LABELS
from tests.conformance.scenarios.models import MODELS
from tests.conformance.scenarios.waits import WAITS

SCENARIOS: tuple[Scenario, ...] = (*MODELS, *INPUTS, *FIELDS, *LATE_LABELS, *WAITS, *FAULTS)
