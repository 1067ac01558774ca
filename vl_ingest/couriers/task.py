"""What a worker of another host is asked to do: to carry one parcel, if it is the process that was meant, once, in time.

Nothing but this package has to be installed there. Whoever runs the workers may run a call again by itself, as when
one has died: a parcel is for one process, which refuses it the second time, so it is never sent by such a decision.
"""

import contextlib
import hashlib
import math
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from vl_ingest import clock
from vl_ingest.couriers.carrier import Carrier, Task, Terms, Trust
from vl_ingest.domain.promised import Promised
from vl_ingest.server.pace import Pace
from vl_ingest.version import __version__

CARRIED, OVERDUE, STRANGER, REPEATED, CUT = "carried", "overdue", "stranger", "repeated", "cut"
HASH_BYTES = 1024 * 1024
PROVED = 3  # files that a worker must have as they are on the client
MOST_REMEMBERED = 10_000  # parcels that have begun; those whose time is long over are forgotten then
LONG_PAST_S = 3600.0


class Sample(NamedTuple):
    """A file that a worker must find as it is here."""

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str


class Introduction(NamedTuple):
    """Who a worker is, what its clocks say, and why it can't be used, if so."""

    identity: str
    host: str
    pid: int
    version: str
    monotonic_s: float
    wall_s: float
    trouble: str | None


class Errand(NamedTuple):
    """A parcel for one process. `identity` names that (None: for whichever has it), `run` the run that it is for.

    The two deadlines are on the clocks of the worker; None: not known here. `rate` are bytes a second, None without a
    limit.
    """

    run: str
    identity: str | None
    terms: Terms
    task: Task
    until_monotonic_s: float | None
    until_wall_s: float
    rate: float | None

    def __repr__(self) -> str:  # it may be logged where it is carried, and the token must not
        return f"Errand({self.run}, {self.task.number})"


class Report(NamedTuple):
    """What became of it: `how` is one of the words above; `carried` holds the fields of `parcel.Carried`, if it is."""

    how: str
    carried: tuple[Any, ...] | None
    identity: str
    host: str


class NoBoard:
    """What a parcel does is not watched from elsewhere."""

    def begin(self, line: int, parcel: int) -> None:
        """Ignore it."""

    def move(self, line: int, bytes_out: int) -> None:
        """Ignore it."""


class FixedRate(NamedTuple):
    """What one parcel may send in a second."""

    bytes_s: float

    def rate(self, _at: object) -> float:
        """Return it."""
        return self.bytes_s


class _Process:
    """What this process remembers; made anew in a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.identity = f"{socket.gethostname()}-{self.pid}-{os.urandom(6).hex()}"
        self.lock = threading.Lock()
        self.begun: dict[tuple[str, int], float] = {}  # a run's parcel -> when its time is over
        self.cut: set[str] = set()  # runs that want nothing sent any more
        self.carriers: dict[int, tuple[str, Carrier]] = {}  # by thread, those that carry now
        self.kept = threading.local()
        self.trusts: dict[str, Trust] = {}


_process = _Process()


def _this() -> _Process:
    global _process  # noqa: PLW0603  # one a process, and a fork is another
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


def samples(folder: str, files: Sequence[Promised | tuple[str, str, int, int]]) -> list[Sample]:
    """Return a few of these files, small ones, as they are here; one that is not as promised is left out."""
    found: list[Sample] = []
    for path, _, size_bytes, mtime_ns in sorted(files, key=lambda file: file[2])[:PROVED]:
        place = os.path.join(folder, path)
        with contextlib.suppress(OSError):  # whoever sends it finds out
            seen = os.stat(place)
            if (seen.st_size, seen.st_mtime_ns) == (size_bytes, mtime_ns):
                found.append(Sample(path, size_bytes, mtime_ns, sha256_of(place)))
    return found


def introduce(address: str, folder: str, known: Sequence[Sample]) -> Introduction:
    """Say who this is, and whether parcels from `folder` to `address` can go from here."""
    from vl_ingest.couriers.processes import hindrance

    trouble = hindrance(address) or _missing(folder, known)
    this = _this()
    return Introduction(
        this.identity, socket.gethostname(), this.pid, __version__, clock.monotonic(), clock.now().timestamp(), trouble
    )  # fmt: skip


def _missing(folder: str, known: Sequence[Sample]) -> str | None:
    """Return what is not in this worker's folder as it is in the client's."""
    if not os.path.isdir(folder):
        return f"it has no folder {folder}"
    for sample in known:
        place = os.path.join(folder, sample.path)
        try:
            seen = os.stat(place)
            if (seen.st_size, seen.st_mtime_ns) != (sample.size_bytes, sample.mtime_ns):
                return f"{sample.path} has another size or time in its folder {folder}"
            if sha256_of(place) != sample.sha256:
                return f"{sample.path} has other content in its folder {folder}"
        except OSError as exc:
            return f"{sample.path} can't be read in its folder {folder}: {exc.strerror}"
    return None


def sha256_of(place: str) -> str:
    """Return the hash of a file's content."""
    digest = hashlib.sha256()
    with open(place, "rb") as file:
        while piece := file.read(HASH_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def carry(errand: Errand) -> Report:
    """Carry the parcel, unless it is for another process, has begun before, or its time is over."""
    this, task = _this(), errand.task
    how = _hindered(this, errand)
    if how is not None:
        return Report(how, None, this.identity, socket.gethostname())
    left_s = errand.until_wall_s - clock.now().timestamp()
    if errand.until_monotonic_s is not None:
        left_s = min(left_s, errand.until_monotonic_s - clock.monotonic())
    https = task.address.startswith("https:")
    carrier = _carrier(this, errand)
    thread = threading.get_ident()
    with this.lock:
        this.carriers[thread] = (errand.run, carrier)
        if errand.run in this.cut:
            carrier.cut()
    try:
        trust = _trust(this) if https else None
        carried = carrier.carry(task._replace(deadline_s=left_s, until_wall_s=errand.until_wall_s), trust)
    finally:
        with this.lock:
            del this.carriers[thread]
    return Report(CARRIED, carried, this.identity, socket.gethostname())


def _hindered(this: _Process, errand: Errand) -> str | None:
    """Return why nothing is to be sent; None: it has begun, for the first time."""
    if errand.identity not in (None, this.identity):
        return STRANGER
    now_s, monotonic_s = clock.now().timestamp(), clock.monotonic()
    with this.lock:
        if (errand.run, errand.task.number) in this.begun:
            return REPEATED
        if errand.run in this.cut:
            return CUT
        if now_s >= errand.until_wall_s or monotonic_s >= (errand.until_monotonic_s or math.inf):
            return OVERDUE
        if len(this.begun) >= MOST_REMEMBERED:
            this.begun = {
                key: until_s for key, until_s in this.begun.items() if until_s + LONG_PAST_S > now_s
            }
        this.begun[errand.run, errand.task.number] = errand.until_wall_s
    return None


def cut(run: str) -> None:
    """Cut whatever is sent for a run, and begin nothing more for it."""
    this = _this()
    with this.lock:
        this.cut.add(run)
        carriers = [carrier for of_run, carrier in this.carriers.values() if of_run == run]
    for carrier in carriers:
        carrier.cut()


class _Kept:
    """A thread's carrier, whose connection is kept from parcel to parcel, and closed with the thread."""

    def __init__(self, run: str, terms: Terms) -> None:
        self.key = (run, terms)
        self.carrier = Carrier(terms, NoBoard(), 0, None)

    def __del__(self) -> None:
        self.carrier.close()


def _carrier(this: _Process, errand: Errand) -> Carrier:
    kept: _Kept | None = getattr(this.kept, "carrier", None)
    if kept is None or kept.key != (errand.run, errand.terms):
        kept = this.kept.carrier = _Kept(errand.run, errand.terms)
    kept.carrier.pace = None if errand.rate is None else Pace(FixedRate(errand.rate))
    return kept.carrier


def _trust(this: _Process) -> Trust:
    from vl_ingest.server.wire import authorities

    named = authorities()  # this host's
    with this.lock:
        if named not in this.trusts:
            this.trusts[named] = Trust(named)
        return this.trusts[named]
