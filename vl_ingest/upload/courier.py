"""What carries one batch to the server, in the thread that asks: one attempt, nothing repeated, nothing decided.

It uses neither the ledger nor the rules: it is given a batch and comes back with a receipt or a failure.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vl_ingest.domain.errors import FileTrouble, Refused, RequestError
from vl_ingest.domain.model import Batch
from vl_ingest.domain.timetable import Timetable
from vl_ingest.run.context import Context
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.pace import Pace


@dataclass(frozen=True)
class Receipt:
    """The server's acknowledgement of a batch, and the SHA-256 of each of its files, in order."""

    http_status: int
    sha256s: Sequence[str]


@dataclass(frozen=True)
class Failure:
    """An attempt without a receipt, and why."""

    error: RequestError | FileTrouble | Refused
    bytes_out: int  # of the request's body, handed to the network
    sha256s: Mapping[str, str]  # path -> hash of each file that went out whole


class Courier:
    """Carries batches into the job's open transaction, for any number of threads."""

    def __init__(self, context: Context) -> None:
        self._api = context.api
        self._source = context.source
        self._dataset_id, self._transaction_id = context.dataset_id, context.transaction_id
        self._cancel_token = context.cancel_token
        timetable = Timetable(context.settings.bwlimit)
        self._pace = None if timetable.unlimited else Pace(timetable)
        self._lock = threading.Lock()
        self._bodies: set[MultipartBody] = set()

    def body_bytes(self, batch: Batch) -> int:
        """Return the size of the request's body."""
        return len(MultipartBody(self._source, batch.files))

    def carry(self, batch: Batch) -> Receipt | Failure | None:
        """Make one attempt; None: the run was asked to stop before it began."""
        body = MultipartBody(self._source, batch.files, self._pace)
        with self._lock:
            # A halted run may even have ended, and cancelled all the bodies there were.
            if self._cancel_token.cancelled:
                return None
            self._bodies.add(body)
        try:
            with body:
                return Receipt(self._api.upload(self._dataset_id, self._transaction_id, body), body.sha256s)
        except (RequestError, FileTrouble, Refused) as error:
            passed = {file.path: sha256 for file, sha256 in zip(body.files, body.sha256s, strict=False)}
            return Failure(error, body.bytes_out, passed)
        finally:
            with self._lock:
                self._bodies.discard(body)

    @property
    def bytes_moving(self) -> int:
        """Bytes of files that open requests have handed to the network so far."""
        with self._lock:
            return sum(body.file_bytes_out for body in self._bodies)

    def cancel(self) -> None:
        """Leave every open request incomplete; none begins once the run is halted."""
        with self._lock:
            for body in self._bodies:
                body.cancel()
