"""What a person decides about a job: waive, retry, settle, stop, cancel, keep and prune.

Imports `ledger` and below; no server is asked but for a status.
"""
