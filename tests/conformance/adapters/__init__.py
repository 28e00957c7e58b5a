"""One file for each runner, found by itself: see `tests.conformance.adapter`."""
