"""What a person decides about a job: waive, retry, settle, stop, cancel, keep and prune.

Imports `ledger` and below; the server is asked only what it says of a dataset (`live`).
"""
