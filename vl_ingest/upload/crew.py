"""Who carries for the sender: threads of this process, and processes of this host where they are wanted and pay."""

import os
from concurrent.futures import Future

from vl_ingest import clock
from vl_ingest.couriers.here import Here
from vl_ingest.couriers.parcel import Outcome, Parcel
from vl_ingest.couriers.processes import Processes, hindrance
from vl_ingest.domain.timetable import Timetable
from vl_ingest.run.context import Context
from vl_ingest.source.folder import Folder
from vl_ingest.upload.staffing import Staffing


class Crew:
    """One courier, whoever carries. `processes` fixes how many processes there are; None: as many as pay."""

    def __init__(self, context: Context, processes: int | None) -> None:
        self._api = context.api
        self._timetable = Timetable(context.settings.bwlimit)
        self._here = Here(self._api, self._timetable, context.source)
        self._processes: Processes | None = None
        self._fixed = processes
        self._limit = 1
        why_not = None
        if processes != 0:
            why_not = hindrance(context.api.base_url)
            if not isinstance(context.source, Folder):
                why_not = "the files are in no folder"
        # Where the bytes are held back, this process's time is not what limits.
        none = why_not is not None or processes == 0 or (processes is None and not self._timetable.unlimited)
        self._staffing = Staffing(0 if none else os.cpu_count() or 1)
        if processes and why_not is not None:
            self._fixed = 0
            context.observer.notice(
                "warning",
                f"--processes {processes} is not possible: {why_not}. This process sends by itself.",
            )

    def adjust(self, limit: int, done_bytes: int, left_bytes: int | None) -> None:
        """Have as many processes as are wanted, for `limit` requests at once."""
        self._limit = limit
        if self._fixed is not None:
            size = self._fixed
        else:
            ready = 0 if self._processes is None else self._processes.ready
            size = self._staffing.observe(clock.monotonic(), clock.cpu(), done_bytes, left_bytes, ready=ready)
        size = min(size, limit)
        if self._processes is not None:
            self._processes.resize(size, limit)
        elif size:
            self._processes = Processes(self._api, self._timetable, size=size, lines=limit)

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Take a parcel."""
        return (self._sending or self._here).submit(parcel)

    @property
    def ahead(self) -> int:
        """How many parcels more than are sent at once are worth being given."""
        return (self._sending or self._here).ahead

    @property
    def cpu_s(self) -> float:
        """Processor time of all."""
        return (self._processes or self._here).cpu_s

    @property
    def bytes_moving(self) -> int:
        """Bytes of files that open requests have handed to the network so far."""
        there = 0 if self._processes is None else self._processes.bytes_moving
        return self._here.bytes_moving + there

    def recall(self) -> None:
        """Give back what has not begun."""
        if self._processes is not None:
            self._processes.recall()

    def cancel(self) -> None:
        """Cut whatever is being sent; nothing begins any more."""
        self._here.cancel()
        if self._processes is not None:
            self._processes.cancel()

    def close(self) -> None:
        """Cut everything and end."""
        self._here.close()
        if self._processes is not None:
            self._processes.close()

    @property
    def _sending(self) -> Processes | None:
        """The processes, if they are what sends now: as soon as the first is up, or at once if they are asked for."""
        processes = self._processes
        if processes is None or processes.broken or not processes.size:
            return None
        return processes if self._fixed is not None or processes.ready else None
