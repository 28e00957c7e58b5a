"""Several workers on one machine, `millstream run --workers N`: one group, one address.

Python runs one thread at a time, so a second core needs a second process. Each worker is a process
like any other member of the app's group, with the same guarantees; this package starts them,
restarts those that were killed, ends them together, and serves the health and metrics of all.
"""
