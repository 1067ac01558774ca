"""Couriers on other hosts: parcels go to the workers of an engine, each with a deadline that the worker keeps by itself.

A worker that is lost is an unknown outcome. That is told only when nothing can be on its way from it any more: after
the deadline, which goes on record before the parcel leaves, so that a next run waits for it too.
"""

import contextlib
import heapq
import math
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta

from vl_ingest import clock
from vl_ingest.couriers.carrier import Task
from vl_ingest.couriers.engine import Assignment, Engine, Worker
from vl_ingest.couriers.parcel import Carried, Outcome, Parcel, judged, lost_with_courier, terms_of
from vl_ingest.couriers.roster import AHEAD, Roster
from vl_ingest.couriers.task import (
    CARRIED,
    CUT,
    OVERDUE,
    Errand,
    Report,
    carry,
    cut,
    samples,
)
from vl_ingest.domain.errors import NotDelivered
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.timetable import Timetable
from vl_ingest.server.api import Api
from vl_ingest.server.limits import ENDED
from vl_ingest.server.wire import prepared

SHORTEST_S, LONGEST_S = 30.0, 600.0  # a deadline
SLACK_S = 5.0  # what compared clocks may be apart at a deadline
ANSWER_S = 30.0  # an answer may come so long after it
TIMES = 4.0  # what a parcel may take, in terms of what it should
LOOK_S = 0.2
ALONE_S = 10.0  # without any worker
RECORDED_S = 60.0  # how much later than a deadline that on record is: it covers the next parcels too
ON_RECORD_S = LONGEST_S + SLACK_S + RECORDED_S  # what is on record is over after so long, whatever it says
CLOSE_S = 2.0
LEAST_S = 0.001  # that carrying takes


class Away:
    """Carries by the workers of an engine.

    `run` names the run among those of its ledger; `folder` is where the files are on the workers; `record` commits until when they may
    send and on which hosts (None: nothing is on its way any more); `notice` tells a person (kind, text).
    """

    def __init__(
        self, api: Api, timetable: Timetable, engine: Engine, *, run: str, folder: str,
        record: Callable[[datetime | None, str], None], notice: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._api, self._timetable, self._engine = api, timetable, engine
        self._run, self._folder = f"{run}-{os.urandom(6).hex()}", folder  # a copied ledger has the same runs
        self._record = record
        self._terms = terms_of(api, "")
        self._lock = threading.RLock()
        self._woken = threading.Event()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()  # for the thread
        self._roster = Roster(api, engine, folder, self._lock, notice, self._tell)
        self._waiting: list[Assignment] = []
        self._out: set[Assignment] = set()
        self._lines: list[int] = []  # a heap of those that are free
        self._last = self._last_line = 0
        self._limit = 1
        self._recorded = -math.inf  # the deadline on record
        self._cancelled = self._closing = False
        self._thread = threading.Thread(target=self._work, name="couriers", daemon=True)
        self._thread.start()

    def resize(self, limit: int) -> None:
        """Let so many parcels be sent at once."""
        self._limit = limit

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Take a parcel; it goes to the worker that should be done with it first."""
        future: Future[Outcome] = Future()
        with self._lock:
            self._last += 1
            held = Assignment(self._last, parcel, future, clock.monotonic(), parcel.body_bytes)
            refused = self._cancelled or self._closing
            if not refused:
                self._waiting.append(held)
        if refused:
            future.set_result(_not_sent(held, ENDED))
        self._woken.set()
        return future

    @property
    def workers_and_lines(self) -> tuple[int, int]:
        """How many workers can be used, and how many parcels they can carry at once."""
        usable = self._roster.usable
        return len(usable), sum(worker.lines for worker in usable)

    @property
    def ahead(self) -> int:
        """How many parcels more than are sent at once are worth being given."""
        return AHEAD * len(self._roster.usable)

    @property
    def cpu_s(self) -> float:
        """Processor time of this process."""
        return clock.cpu()

    bytes_moving = 0  # nobody says

    def recall(self) -> None:
        """Give back the parcels that no worker has yet."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for held in waiting:
            held.future.set_result(_recalled(held))

    def cancel(self) -> None:
        """Cut whatever is being sent, as far as workers can be told; their deadlines do the rest."""
        with self._lock:
            self._cancelled = True
            waiting, self._waiting = self._waiting, []
            workers = list({held.worker.address for held in self._out if held.worker is not None})
        for held in waiting:
            held.future.set_result(_not_sent(held, ENDED))
        if workers:
            self._engine.broadcast(workers, cut, self._run)

    def close(self) -> None:
        """Cut everything and end."""
        self.cancel()
        until = clock.monotonic() + CLOSE_S
        while self._out and clock.monotonic() < until:
            self._thread.join(0.01)
        self._closing = True
        self._woken.set()
        self._thread.join()
        self._engine.close()
        if not self._out and self._recorded > -math.inf:
            self._record(None, "")

    # The thread

    def _work(self) -> None:
        while not self._closing:
            for step in (self._hear, self._release, self._look, self._dispatch):
                try:  # each by itself: one in trouble holds up no other
                    step()
                except BaseException as exc:  # noqa: BLE001  # raised where a future is asked for its result
                    self._fail(exc)
            self._woken.wait(LOOK_S)
            self._woken.clear()

    def _tell(self, news: Callable[[], None]) -> None:
        """Have the thread call this; from any thread, which has no time for it."""
        self._news.put(news)
        self._woken.set()

    def _hear(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._news.get_nowait()()

    def _look(self) -> None:
        """See which workers there are, as long as that matters."""
        with self._lock:
            first = self._waiting[0].parcel if self._waiting else None
        if first is not None or self._out:
            self._roster.refresh(first)

    def _fail(self, error: BaseException) -> None:
        """Hand a mistake, or a ledger that can't be written, to whoever waits for a parcel that no worker has."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for held in waiting:
            held.future.set_exception(error)

    def _dispatch(self) -> None:
        """Hand out what waits, as far as workers have room."""
        while True:
            with self._lock:
                held = self._waiting[0] if self._waiting else None
                worker = None
                if held is not None and not self._cancelled:
                    worker = self._roster.choose(held.size_bytes)
                if held is None or worker is None:
                    break
                del self._waiting[0]
            should_s = (worker.held_bytes + held.size_bytes) / worker.rate
            deadline_s = min(LONGEST_S, SHORTEST_S + TIMES * should_s)
            held.until = clock.monotonic() + deadline_s
            try:
                self._put_on_record(held.until)
            except BaseException:
                with self._lock:
                    self._waiting.insert(0, held)
                raise
            self._hand_over(held, worker)
        self._give_up_waiting()

    def _put_on_record(self, until: float) -> None:
        """Commit until when workers may send, if that is later than what is on record."""
        if until + SLACK_S > self._recorded:
            later_s = until + SLACK_S + RECORDED_S - clock.monotonic()
            self._record(clock.now() + timedelta(seconds=later_s), self._roster.hosts)
            self._recorded = until + SLACK_S + RECORDED_S

    def _hand_over(self, held: Assignment, worker: Worker) -> None:
        parcel, rate = held.parcel, self._timetable.rate(clock.local())
        monotonic_s, wall_s = worker.deadlines(held.until)
        pinned = self._engine.pinned
        assert worker.intro is not None  # noqa: S101  # it is usable
        errand = Errand(
            self._run, worker.intro.identity if pinned else None, self._terms,
            Task(
                held.number, self._folder, parcel.files,
                prepared(self._api.url(parcel.address)), None if parcel.token is None else parcel.token.value, None,
            ),
            monotonic_s if pinned else None,
            wall_s if pinned else clock.now().timestamp() + held.until - clock.monotonic(),
            None if rate is None else max(1.0, rate / (self._limit + self.ahead)),
        )  # fmt: skip
        with self._lock:
            if self._cancelled:  # while it was put on record
                held.future.set_result(_not_sent(held, ENDED))
                return
            held.worker = worker
            worker.held.add(held)
            self._out.add(held)
            if not self._lines:
                self._last_line += 1
                heapq.heappush(self._lines, self._last_line)
            held.line = heapq.heappop(self._lines)
        try:
            held.call = self._engine.submit(worker.address, carry, errand)
        except OSError as exc:  # some of it may have been handed over
            held.lost = str(exc)
        else:
            held.call.add_done_callback(lambda done: self._tell(lambda: self._arrived(held, done)))

    def _arrived(self, held: Assignment, done: "Future[Report]") -> None:
        try:
            report = done.result()
        except BaseException as exc:  # noqa: BLE001  # the worker, or what is between, is lost
            held.lost = str(exc) or type(exc).__name__
            return
        outcome: Outcome | BaseException | None
        try:
            outcome = self._judged(held, report)
        except BaseException as exc:  # noqa: BLE001  # a mistake: raised where the future is asked for its result
            outcome = exc
        if outcome is not None:
            self._over(held, outcome)

    def _judged(self, held: Assignment, report: Report) -> Outcome | None:
        """Return what a report means; None: that is not known before the deadline."""
        worker = held.worker
        assert worker is not None  # noqa: S101  # it was handed over
        if report.how in (CUT, OVERDUE):  # it has not begun, and does not
            if report.how == OVERDUE:
                self._roster.forget(worker)  # its clocks are not what they were
            return _recalled(held)
        if report.how != CARRIED or report.carried is None:  # the process that was meant may have begun it
            held.lost = f"worker {worker.address} was started again"
            self._roster.forget(worker)
            return None
        carried, now = Carried(*report.carried), clock.monotonic()
        took_s = carried.ended - carried.began
        carried = carried._replace(began=now - took_s, ended=now)
        outcome = judged(self._api, held.parcel, carried, held.line)._replace(cpu_s=0.0, host=report.host)
        worker.learn(carried.bytes_out / max(took_s, LEAST_S), whole=outcome.error is None)
        strange = None if outcome.bytes_out else _unseen(held, outcome)
        if strange is not None:
            self._roster.distrust(worker, f"it does not see {strange} as it is here")
            return _recalled(held)
        return outcome

    def _release(self) -> None:
        """Say of what has not been heard of that it is lost, once nothing of it can be on its way."""
        now = clock.monotonic()
        with self._lock:
            over = [h for h in self._out if now > h.until + (SLACK_S if h.lost is not None else ANSWER_S)]
        for held in over:
            why = held.lost or "nothing was heard of it before its deadline"
            if held.worker is not None:
                self._roster.forget(held.worker)  # it may be frozen
            if held.call is not None:
                held.call.cancel()
            self._over(held, lost_with_courier(why, held.taken_at, now, held.line, held.size_bytes))

    def _give_up_waiting(self) -> None:
        """Give back what no worker has taken for long."""
        now = clock.monotonic()
        with self._lock:
            none = now - self._roster.usable_at > ALONE_S
            old = [held for held in self._waiting if none and now - held.taken_at > ALONE_S]
            self._waiting = [held for held in self._waiting if held not in old]
        for held in old:
            held.future.set_result(_not_sent(held, f"no worker can be used: {self._roster.why_none}"))

    def _over(self, held: Assignment, outcome: Outcome | BaseException) -> None:
        with self._lock:
            if held not in self._out:
                # It has been given up: the attempt is on record as unknown, and its files are being sent again by now,
                # perhaps in other batches. A receipt for it would spare nobody anything, and does not make it untrue.
                return
            self._out.discard(held)
            if held.worker is not None:
                held.worker.held.discard(held)
            heapq.heappush(self._lines, held.line)
        if isinstance(outcome, BaseException):
            held.future.set_exception(outcome)
        else:
            held.future.set_result(outcome)


def _not_sent(held: Assignment, why: str) -> Outcome:
    return Outcome(NotDelivered(why), [], 0, held.size_bytes, held.taken_at, clock.monotonic())


def _recalled(held: Assignment) -> Outcome:
    return _not_sent(held, ENDED)._replace(recalled=True)


def _unseen(held: Assignment, outcome: Outcome) -> str | None:
    """Return a file that the worker found in trouble, and that is here as it was promised."""
    paths = {trouble.path for trouble in outcome.troubles}
    found = samples(held.parcel.folder, [file for file in held.parcel.files if file[0] in paths])
    return path_to_text(found[0].path) if found else None
