"""The courier in this process: a thread a request, over `requests`, which knows every kind of proxy."""

import heapq
import queue
import threading
from concurrent.futures import Future

from vl_ingest import clock
from vl_ingest.couriers.parcel import Outcome, Parcel
from vl_ingest.domain.errors import FileTrouble, NotDelivered, Refused, RequestError
from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.domain.promised import CHANGED, SINCE_FOUND
from vl_ingest.domain.timetable import Timetable
from vl_ingest.server.api import Api
from vl_ingest.server.limits import ENDED
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.pace import Pace
from vl_ingest.source import Source

_Work = tuple[Parcel, "Future[Outcome]"]


class Here:
    """As many threads as there are parcels at once; all keep to one `timetable`, and open their files in `source`."""

    def __init__(self, api: Api, timetable: Timetable, source: Source) -> None:
        self._api = api
        self._source = source
        self._pace = None if timetable.unlimited else Pace(timetable)
        self._lock = threading.Lock()
        self._lines: list[queue.SimpleQueue[_Work | None]] = []  # one a thread
        self._idle: list[int] = []  # a heap: the lowest numbers are used, so that their connections stay warm
        self._bodies: set[MultipartBody] = set()
        self._cancelled = False

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Take a parcel; a thread has it at once."""
        future: Future[Outcome] = Future()
        with self._lock:
            if not self._idle:
                self._lines.append(queue.SimpleQueue())
                line = len(self._lines)
                threading.Thread(target=self._work, args=(line,), name=f"courier-{line}", daemon=True).start()
            else:
                line = heapq.heappop(self._idle)
            self._lines[line - 1].put((parcel, future))
        return future

    ahead = 0

    @property
    def cpu_s(self) -> float:
        """Processor time used so far."""
        return clock.cpu()

    def recall(self) -> None:
        """Give back what has not begun; here everything has."""

    @property
    def bytes_moving(self) -> int:
        """Bytes of files that open requests have handed to the network so far."""
        with self._lock:
            return sum(body.file_bytes_out for body in self._bodies)

    def cancel(self) -> None:
        """Leave every open request incomplete; none begins any more."""
        with self._lock:
            self._cancelled = True
            for body in self._bodies:
                body.cancel()

    def close(self) -> None:
        """Cut everything, and let the threads end."""
        self.cancel()
        with self._lock:
            for line in self._lines:
                line.put(None)

    def _work(self, line: int) -> None:
        while (work := self._lines[line - 1].get()) is not None:
            parcel, future = work
            try:
                outcome = self._carry(parcel, line)
            except BaseException as exc:  # noqa: BLE001  # raised where the future is asked for its result
                self._over(line)
                future.set_exception(exc)
            else:
                self._over(line)
                future.set_result(outcome)

    def _over(self, line: int) -> None:
        with self._lock:
            heapq.heappush(self._idle, line)

    def _carry(self, parcel: Parcel, line: int) -> Outcome:
        began = clock.monotonic()
        troubles = tuple(trouble for file in parcel.files if (trouble := self._look(*file)) is not None)
        if troubles:
            return Outcome(troubles[0], [], 0, parcel.body_bytes, began, clock.monotonic(), line, troubles)
        until = None if parcel.deadline_s is None else began + parcel.deadline_s
        rows = [
            FileRow(0, path, sent_as, Facts(size_bytes, mtime_ns), FileState.IN_FLIGHT)
            for path, sent_as, size_bytes, mtime_ns in parcel.files
        ]
        body = MultipartBody(self._source, rows, self._pace, until=until)
        with self._lock:
            cancelled = self._cancelled
            if not cancelled:
                self._bodies.add(body)
        error: RequestError | Refused | FileTrouble | None = None
        try:
            if cancelled:
                raise NotDelivered(ENDED)
            with body:
                self._api.upload(parcel.address, body, parcel.token)
        except FileTrouble as trouble:
            error, troubles = trouble, (trouble,)
        except (RequestError, Refused) as exc:
            error = exc
        finally:
            with self._lock:
                self._bodies.discard(body)
        return Outcome(
            error, body.sha256s, body.bytes_out, len(body), began, clock.monotonic(), line, troubles
        )

    def _look(self, path: str, _sent_as: str, *facts: int) -> FileTrouble | None:
        """Look at a file before anything is sent: what is not as promised then costs no doubt."""
        try:
            if self._source.look(path) == facts:
                return None
        except FileTrouble as trouble:
            if trouble.state != FileState.EMPTY:  # it had bytes
                return trouble
        return FileTrouble(path, CHANGED, SINCE_FOUND)
