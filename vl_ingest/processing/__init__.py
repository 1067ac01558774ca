"""The second half of a job: start processing exactly once, and follow it to its end.

Imports `run` and below. `trigger.trigger`, `settle.settle` and `watch.watch` are the steps.
"""
