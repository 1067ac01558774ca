"""Who carries for the sender: workers of other hosts if they are named; else threads of this process, and processes of this
host where they are wanted and pay.
"""

import os
from concurrent.futures import Future
from datetime import datetime

from vl_ingest import clock
from vl_ingest.couriers.away import Away
from vl_ingest.couriers.cluster import Cluster
from vl_ingest.couriers.engine import Engine, OfExecutor
from vl_ingest.couriers.here import Here
from vl_ingest.couriers.parcel import Courier, Outcome, Parcel
from vl_ingest.couriers.processes import Processes, hindrance
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.forms import MOST_WORKERS
from vl_ingest.domain.timetable import Timetable
from vl_ingest.run.context import Context
from vl_ingest.upload.staffing import Staffing


class Crew:
    """One courier, whoever carries. `processes` fixes how many processes there are; None: as many as pay."""

    def __init__(self, context: Context, processes: int | None) -> None:
        self._api = context.api
        self._timetable = Timetable(context.settings.bwlimit)
        self._here = Here(self._api, self._timetable, context.source)
        self._away = _away(context, self._timetable)
        self._processes: Processes | None = None
        self._fixed = processes
        why_not = None
        if self._away is not None:
            processes = self._fixed = 0
        if processes != 0:
            why_not = hindrance(context.api.base_url)
            if context.source.folder is None:
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
        if self._away is not None:
            self._away.resize(limit)
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
        return self._sending.submit(parcel)

    @property
    def ahead(self) -> int:
        """How many parcels more than are sent at once are worth being given."""
        return self._sending.ahead

    @property
    def processes(self) -> int:
        """How many processes of this host send; 1 where it is this one."""
        return 1 if self._processes is None else max(1, self._processes.size)

    @property
    def hosts_and_lines(self) -> tuple[int, int]:
        """How many workers of other hosts send, if that is who does, and how many requests they can make at once."""
        return (0, 0) if self._away is None else self._away.workers_and_lines

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
        for courier in self._there:
            courier.recall()

    def cancel(self) -> None:
        """Cut whatever is being sent; nothing begins any more."""
        for courier in (self._here, *self._there):
            courier.cancel()

    def close(self) -> None:
        """Cut everything and end."""
        for courier in (self._here, *self._there):
            courier.close()

    @property
    def _there(self) -> list[Courier]:
        return [courier for courier in (self._processes, self._away) if courier is not None]

    @property
    def _sending(self) -> Courier:
        """Who sends now: workers, or processes as soon as the first is up, or at once if they are asked for."""
        processes = self._processes
        if self._away is not None:
            return self._away
        if processes is None or processes.broken or not processes.size:
            return self._here
        return processes if self._fixed is not None or processes.ready else self._here


def _away(context: Context, timetable: Timetable) -> Away | None:
    """Return who carries on other hosts, if anybody is named. Raises `UsageError` for what can't be used."""
    scheduler, executor = context.settings.dask, context.executor
    engine: Engine
    if executor is not None:
        engine = OfExecutor(executor, MOST_WORKERS)
    elif scheduler is not None:
        engine = Cluster(scheduler)
    else:
        return None
    if context.source.folder is None:
        raise UsageError("Only files of a folder can be sent from other hosts.")

    def record(until: datetime | None, hosts: str) -> None:
        if until is None:
            context.note(EventKind.COURIERS_BACK)
        else:
            context.ledger.jobs.intend(
                context.run, EventKind.COURIERS_AWAY, until=clock.iso(until), hosts=hosts
            )

    return Away(
        context.api, timetable, engine, run=f"{context.job.id}-{context.run.id}",
        folder=context.settings.remote_source or context.source.folder, record=record,
        notice=context.observer.notice,
    )  # fmt: skip
