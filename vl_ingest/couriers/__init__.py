"""Couriers: each carries a parcel of files to the server for the process that holds the job, and says what came of it.

`parcel` is what goes in and what comes out: values that can be sent to another process, without ledger, settings or
secret but a short-lived token. A courier repeats nothing and decides nothing. `here` carries in threads of this
process, over `requests`. `processes` keeps processes of this host, each of which is `child`, and carries with
`carrier` what `content` reads: these, `link` and `board` import as little as they can, for they are started when there is
much to do. `away` has workers of other hosts carry: an `engine` calls `task` there (`cluster` is Dask's), and `roster` knows
which of them see the same files.

Imports `server`, `source`, `domain`, `clock`, `program` and `version`.
"""
