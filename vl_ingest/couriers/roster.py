"""Which workers of an engine there are, and which of them can be used: those that have proved that they see the same files."""

import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future

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
INTRODUCED_S = 60.0  # a worker that has not introduced itself by then is named
AGAIN_S = 60.0  # after which one that can't be used is asked again: its folder may be there by then


class Roster:
    """The workers, by their addresses. For one thread, which `tell` lets call something; the properties are for all.

    Attributes:
        usable_at: when there was one that can be used last, on the monotonic clock.
        why_none: why there is none.

    """

    def __init__(
        self, api: Api, engine: Engine, folder: str, lock: threading.RLock, notice: Callable[[str, str], None],
        tell: Callable[[Callable[[], None]], None],
    ) -> None:  # fmt: skip
        self.usable_at = clock.monotonic()
        self.why_none = "there is none"
        self._api, self._engine, self._folder, self._lock = api, engine, folder, lock
        self._notice, self._tell = notice, tell
        self._workers: dict[str, Worker] = {}
        self._looked_at = -math.inf
        self._told = ""
        self._named: set[tuple[str, str]] = set()  # workers that are not used, and why, as people were told

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
        if worker.call is not None:
            worker.call.cancel()

    def distrust(self, worker: Worker, trouble: str) -> None:
        """Use a worker no more for a while, and say why."""
        with self._lock:
            if worker.intro is None:
                return
            worker.intro, worker.seen_at = worker.intro._replace(trouble=trouble), clock.monotonic()
        self._name(worker, trouble)

    def refresh(self, parcel: Parcel | None) -> None:
        """Learn which workers there are now; let new ones prove that they see the files of `parcel`, if there is one."""
        now = clock.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        try:
            there = self._engine.workers()
            self.why_none = "there is none" if not there else self.why_none
        except OSError as exc:
            self.why_none, there = str(exc) or type(exc).__name__, {}
        self._looked_at = clock.monotonic()
        with self._lock:
            known = list(self._workers.values())
        for worker in known:
            if worker.address not in there:
                self.forget(worker)
                for held in worker.held:
                    held.lost = f"worker {worker.address} is gone"
            elif worker.intro is None and not worker.is_late and now - worker.asked_at > INTRODUCED_S:
                worker.is_late = True
                self._name(worker, f"it has not answered for {INTRODUCED_S:.0f} s")
            elif worker.intro is not None and not worker.usable and now - worker.seen_at > AGAIN_S:
                self.forget(worker)
        if parcel is not None:
            self._ask(
                {address: lines for address, lines in there.items() if address not in self._workers}, parcel
            )

    def _ask(self, new: Mapping[str, int], parcel: Parcel) -> None:
        """Let workers introduce themselves, that are new."""
        samples_here = samples(parcel.folder, parcel.files) if new else []
        url = prepared(self._api.url(parcel.address))
        for address, lines in new.items():
            worker = Worker(address, lines, asked_at=clock.monotonic())
            try:
                worker.call = self._engine.submit(address, introduce, url, self._folder, samples_here)
            except OSError as exc:
                self.why_none = str(exc) or type(exc).__name__
                continue
            with self._lock:
                self._workers[address] = worker
            self._listen(worker, worker.call)

    def _listen(self, worker: Worker, call: "Future[Introduction]") -> None:
        call.add_done_callback(lambda done: self._tell(lambda: self._introduced(worker, done)))

    def _introduced(self, worker: Worker, done: "Future[Introduction]") -> None:
        if self._workers.get(worker.address) is not worker:
            return  # forgotten meanwhile
        try:
            intro = done.result()
        except (CancelledError, OSError) as exc:  # what is between is lost: it is asked again
            self.why_none = f"{worker.address}: {str(exc) or type(exc).__name__}"
            self.forget(worker)
            return
        except BaseException as exc:  # noqa: BLE001  # whatever keeps a worker from being asked
            intro = Introduction("", worker.address, 0, "", 0.0, 0.0, str(exc) or type(exc).__name__)
        if intro.trouble is None and intro.version != __version__:
            intro = intro._replace(trouble=f"it has vl-ingest {intro.version}, and this is {__version__}")
        with self._lock:
            worker.seen_at, worker.intro = clock.monotonic(), intro
            is_asking = any(known.intro is None and not known.is_late for known in self._workers.values())
        if intro.trouble is not None:
            self._name(worker, intro.trouble)
        text = f"Sending from {several(len(self.usable), 'worker')} on {self.hosts}."
        if self.usable and text != self._told and not (is_asking and self._told):
            self._told = text
            self._notice("step", text)

    def _name(self, worker: Worker, trouble: str) -> None:
        """Say, once, which worker is not used, and why."""
        self.why_none = f"{worker.address}: {trouble}"
        if (worker.address, trouble) not in self._named:
            self._named.add((worker.address, trouble))
            on = "" if worker.intro is None else f" on {worker.intro.host}"
            self._notice("warning", f"Worker {worker.address}{on} is not used: {trouble}.")
