"""Several workers on one machine, `millstream run --workers N`: one group, one address.

Python runs one thread at a time, so a second core takes a second process. Each worker is a process
like any other member of the app's group, so nothing of what one promises changes; this package
starts them, restarts those that were killed, ends them together, and answers for all of them.
"""
