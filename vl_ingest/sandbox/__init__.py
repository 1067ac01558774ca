"""A stand-in for the Visual Layer server: real HTTP, the documented behaviour, and faults on demand.

For demos, rehearsals and tests. It knows nothing of the client's code, so that the two can be compared.

- `faults`    what may go wrong, and when it does (pure)
- `store`     datasets, transactions, statuses (pure)
- `record`    what arrived, append-only, on disk
- `receive`   one multipart body, streamed
- `app`       the endpoints
- `server`    `Sandbox`: the app on a port of 127.0.0.1
"""

from vl_ingest.sandbox.faults import Fault, parse_fault
from vl_ingest.sandbox.record import Arrival, Record
from vl_ingest.sandbox.server import Sandbox

__all__ = ["Arrival", "Fault", "Record", "Sandbox", "parse_fault"]
