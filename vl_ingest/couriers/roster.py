"""Which workers of an engine there are, and which of them can be used: those that have proved that they see the same files."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from vl_ingest import clock
from vl_ingest.couriers.engine import Engine, Worker
from vl_ingest.couriers.parcel import Parcel
from vl_ingest.couriers.task import Introduction, introduce, samples
from vl_ingest.domain.words import several
from vl_ingest.server.api import Api
from vl_ingest.server.wire import prepared
from vl_ingest.version import __version__

AHEAD = 1  # parcels that wait at each worker
LOOK_EVERY_S = 2.0


class Roster:
    """The workers, by their addresses.

    Attributes:
        usable_at: when there was one that can be used last, on the monotonic clock.
        why_none: why there is none.

    """

    def __init__(
        self, api: Api, engine: Engine, folder: str, lock: threading.RLock, notice: Callable[[str, str], None],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.usable_at = clock.monotonic()
        self.why_none = "there is none"
        self._api, self._engine, self._folder, self._lock = api, engine, folder, lock
        self._notice, self._changed = notice, changed
        self._workers: dict[str, Worker] = {}
        self._looked_at = -math.inf
        self._told = ""

    @property
    def usable(self) -> list[Worker]:
        """Those that can be used."""
        with self._lock:
            return [worker for worker in self._workers.values() if worker.usable]

    @property
    def hosts(self) -> str:
        """Their hosts, in words."""
        return ", ".join(sorted({worker.intro.host for worker in self.usable if worker.intro is not None}))

    def choose(self, size_bytes: int) -> Worker | None:
        """Return the worker that should be done with a parcel first, of those with room."""
        usable = self.usable
        if usable:
            self.usable_at = clock.monotonic()
        free = [worker for worker in usable if len(worker.held) < worker.lines + AHEAD]
        return min(free, key=lambda one: (one.held_bytes + size_bytes) / one.rate) if free else None

    def forget(self, worker: Worker) -> None:
        """Use a worker no more before it has introduced itself again."""
        with self._lock:
            if self._workers.get(worker.address) is worker:
                del self._workers[worker.address]

    def distrust(self, worker: Worker, trouble: str) -> None:
        """Use a worker no more, and say why."""
        with self._lock:
            if worker.intro is None:
                return
            worker.intro = worker.intro._replace(trouble=trouble)
        self.why_none = f"{worker.address}: {trouble}"
        self._notice("warning", f"Worker {worker.address} on {worker.intro.host} is not used: {trouble}.")

    def refresh(self, parcel: Parcel | None) -> None:
        """Learn which workers there are now; let new ones prove that they see the files of `parcel`, if there is one."""
        now = clock.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        try:
            there = self._engine.workers()
            self.why_none = "there is none" if not there else self.why_none
        except OSError as exc:
            self.why_none, there = str(exc) or type(exc).__name__, {}
        with self._lock:
            for address in self._workers.keys() - there.keys():
                for held in self._workers.pop(address).held:
                    held.lost = f"worker {address} is gone"
            if parcel is None:
                return
            new = [Worker(address, there[address]) for address in there.keys() - self._workers.keys()]
            self._workers |= {worker.address: worker for worker in new}
        known = samples(parcel.folder, parcel.files) if new else []
        url = prepared(self._api.url(parcel.address))
        for worker in new:
            try:
                asked = self._engine.submit(worker.address, introduce, url, self._folder, known)
            except OSError as exc:
                self.why_none = str(exc)
                self.forget(worker)
            else:
                asked.add_done_callback(partial(self._introduced, worker))

    def _introduced(self, worker: Worker, done: "Future[Introduction]") -> None:
        try:
            intro = done.result()
        except BaseException as exc:  # noqa: BLE001  # whatever keeps a worker from being asked
            intro = Introduction("", worker.address, 0, "", 0.0, 0.0, str(exc) or type(exc).__name__)
        if intro.trouble is None and intro.version != __version__:
            intro = intro._replace(trouble=f"it has vl-ingest {intro.version}, and this is {__version__}")
        with self._lock:
            worker.seen_at, worker.intro = clock.monotonic(), intro
            is_asking = any(known.intro is None for known in self._workers.values())
        if intro.trouble is not None:
            self.distrust(worker, intro.trouble)
        text = f"Sending from {several(len(self.usable), 'worker')} on {self.hosts}."
        if self.usable and not is_asking and text != self._told:
            self._told = text
            self._notice("step", text)
        self._changed()
