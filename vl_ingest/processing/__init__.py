"""The second half of a job: start processing exactly once, and follow it to its end.

Imports `run` and below. `trigger.trigger`, `settle.settle` and `watch.watch` are the steps, `evidence` what the server's tasks
prove; `reprocess.start_again` and `abort.abort` are asked for by a person.
"""
