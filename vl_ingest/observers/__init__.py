"""Who is told of a run: the interface, and the observers that write a log, keep metrics and call hooks.

Imports `ledger` and below. `observer.Observer` is the interface; what happens to an observer never reaches the run.
"""
