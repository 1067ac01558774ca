"""Is everything in place for a long run? Each check has a name, a grade and a sentence that says how to fix it.

Nothing is created or changed: the ledger is opened to read, folders are asked about and not tried, and the server
gets a few requests that change nothing.
"""

from vl_ingest.doctor.machine import check_machine
from vl_ingest.doctor.server import check_server

__all__ = ["check_machine", "check_server"]
