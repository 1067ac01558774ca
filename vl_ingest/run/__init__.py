"""One run of a job: what every part of it is given, how it is told to stop, how it waits for the server.

Imports `observers`, `ledger`, `server` and below. `context.Context` is what the steps of `upload` and `processing` take.
"""
