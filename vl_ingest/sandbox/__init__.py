"""A stand-in for the Visual Layer server: real HTTP, the documented behaviour, and faults on demand.

For demos, rehearsals and tests. It knows nothing of the client's code, so that the two can be compared.

- `rules`     what the server insists on, how long its work takes, what it can be asked
- `faults`    what may go wrong, and when it does (pure)
- `works`     what is worked on: phases in time, and an end (pure)
- `store`     datasets, transactions, statuses (pure)
- `record`    what arrived, append-only, on disk
- `receive`   one body, streamed
- `endpoint`  what an endpoint is; `ingestion`, `overview`, `tasks`, `exports`, `additions`, `fields` hold them
- `media`     what the files of a dataset have become
- `answers`   answers that are not the documented ones
- `app`       the endpoints put together, and the faults laid over them
- `server`    `Sandbox`: the app on a port of 127.0.0.1
"""

from vl_ingest.sandbox.faults import Fault, parse_fault
from vl_ingest.sandbox.record import Arrival, Record
from vl_ingest.sandbox.server import Sandbox

__all__ = ["Arrival", "Fault", "Record", "Sandbox", "parse_fault"]
