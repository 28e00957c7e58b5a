"""What predictions that wait take of memory: see `waiting.compact`."""

import subprocess
import sys

FILL = """
import resource
from tests.support.processors import event, late_run

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

run = late_run()

def feed(numbers):
    run.feed(100, events=[event(number, 100, f"id {number}", x=number / 3) for number in numbers])
    run.predictions.clear()

feed(range(1_000))
before = peak()
for first in range(1_000, 31_000, 1_000):
    feed(range(first, first + 1_000))
assert run.processor.pending() == 31_000
print((peak() - before) / 30_000)
"""


def test_a_prediction_that_waits_takes_little_more_memory_than_its_text() -> None:
    """What orjson returns holds on to four kilobytes, however short: a million took 3.9 GB so."""
    done = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1_500
