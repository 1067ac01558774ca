"""Whether what the record says is so: the ledger against its own events, the files, a report and the server.

Imports `report`, `run`, `ledger`, `server`, `source` and below. `verify.verify` makes every check.
"""
