"""Everything before the trigger: scan, send, and make sure that nothing is left."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.choices import OnRejected
from vl_ingest.domain.errors import (
    DurationReached,
    FilesHeld,
    GaveUp,
    Interrupted,
    Stopped,
    Undecided,
    UsageError,
)
from vl_ingest.domain.model import WAIVABLE, Counts, FileState, Found, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.standing import next_step
from vl_ingest.ledger.files import Files
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context
from vl_ingest.run.status import see_unprocessed
from vl_ingest.source.filters import OTHER_TYPE
from vl_ingest.upload.backlog import Backlog
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.crew import Crew
from vl_ingest.upload.plan import BatchLimits
from vl_ingest.upload.reconcile import reconcile, wait_for_couriers
from vl_ingest.upload.remote import prepare
from vl_ingest.upload.scan import folder_empty, scan
from vl_ingest.upload.send import Sender
from vl_ingest.upload.stall import StallAlarm

TICK_S = 0.1
ON_THE_WAY = (FileState.PENDING, FileState.IN_FLIGHT)
PROGRESS_EVERY_S = 1.0
GRACE_S = 8.0  # a halted run waits so long for answers that are on their way
CUT_S = 0.5


class RunThread(threading.Thread):
    """A thread of a run. Its end is waited for with `finished`: an interrupted `join` would take it for ended."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.finished = threading.Event()
        self._work = work

    def run(self) -> None:
        """Work."""
        try:
            self._work()
        finally:
            self.finished.set()


class Scanning(RunThread):
    """The scan, beside the sending. `held` is why it could not be completed, if so."""

    def __init__(self, context: Context, backlog: Backlog) -> None:
        super().__init__("scan", self._scan)
        self.some = threading.Event()  # a first commit, or the end
        self.held: FilesHeld | None = None
        self.found = False  # anything at all
        self._context = context
        self._backlog = backlog

    def _scan(self) -> None:
        """Walk the folder; trouble halts the run, but an unreadable folder only holds the trigger."""
        try:
            scan(self._context, self._progress, look=self._see)
        except FilesHeld as exc:
            self.held = exc
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            self._context.cancel_token.cancel(exc)
        finally:
            self._backlog.scan_progress(finished=True)
            self.some.set()

    def _see(self, found: Sequence[Found]) -> None:
        self.found = self.found or bool(found)

    def _progress(self) -> None:
        self._backlog.scan_progress(finished=False)
        self.some.set()


def upload(context: Context) -> None:
    """Take the job to `uploaded`: every file sent, or waived by name.

    Raises `FilesHeld`, `GaveUp` or `Undecided` for what is left otherwise, `UsageError` if there is nothing
    to send, and the reason of a halted run.
    """
    wait_for_couriers(context)
    reconcile(context)
    limits = BatchLimits(context.settings, context.reload().too_large_bytes)
    concurrency = Concurrency(context.settings.workers)
    backlog = Backlog(context, limits, concurrency)
    scanning = Scanning(context, backlog)
    scanning.start()
    try:
        _wait_for_files(context, scanning)
        crew = Crew(context, context.settings.processes)
        try:
            prepare(context)
            _send(context, Sender(context, crew, backlog, limits, concurrency), scanning)
        finally:
            crew.close()  # nothing is on its way any more
    except BaseException as exc:
        context.cancel_token.cancel(exc)
        scanning.finished.wait(context.cancel_token.grace_s(GRACE_S))
        raise
    _finish(context, scanning)


def _wait_for_files(context: Context, scanning: Scanning) -> None:
    """Wait until there is a file to send: the dataset is created for one, not for an empty folder."""
    # What an empty folder means is said before its files are looked for, one by one.
    while not scanning.some.wait(TICK_S):
        context.check_may_continue()
    if scanning.held is not None and not scanning.found:
        raise scanning.held
    scanned = False  # as of before the look into the ledger: the scan may end between the two
    while not context.ledger.files.any_wanted(context.job.id):
        if scanned:
            context.cancel_token.raise_if_cancelled()
            raise scanning.held or nothing_to_send(context.job.source, context.reload().left_out)
        scanning.finished.wait(TICK_S)
        context.check_may_continue()
        scanned = scanning.finished.is_set()


def _send(context: Context, sender: Sender, scanning: Scanning) -> None:
    """Let the sender work until nothing is left to send or the run is halted."""
    sending = RunThread("sender", sender.work)
    ticks = _Ticks(context, sender, scanning)
    sending.start()
    try:
        while not context.cancel_token.cancelled and not sending.finished.wait(TICK_S):
            ticks.tick()
    except BaseException as exc:  # noqa: BLE001  # raised below, once the sender has ended
        context.cancel_token.cancel(exc)
    try:
        ticks.wait_for_answers([scanning, sending])
    finally:
        sender.courier.cancel()
        sending.finished.wait(CUT_S)  # what is cut goes on record as that
        sender.leave()
    context.ledger.batches.abandon_in_flight(context.run, died=False)
    sender.tell_rejections()
    context.cancel_token.raise_if_cancelled()
    ticks.tick(last=True)
    if sender.delivered:
        see_unprocessed(context)


def _finish(context: Context, scanning: Scanning) -> None:
    """Record that the upload is complete, or raise what holds it."""
    if context.settings.on_rejected is OnRejected.SKIP:
        waived = context.ledger.decisions.waive_rejected(context.run)
        if waived:
            context.observer.notice(
                "step", f"{files_text(waived)} rejected, and waived by --on-rejected skip."
            )
    counts = context.ledger.files.counts(context.job.id)
    left = _left(context, counts) if counts.unsent else None
    if isinstance(left, FilesHeld) and scanning.held is not None:
        raise FilesHeld(f"{left}\n{scanning.held}")
    if held := left or scanning.held:
        raise held
    sent = counts[FileState.SENT]
    let_in_none = not scanning.found and context.settings.files_from != os.devnull  # not even what was sent
    if not sent or let_in_none:
        left_out = context.reload().left_out
        if sent and not left_out:
            raise folder_empty(context)
        raise nothing_to_send(context.job.source, left_out, sent=sent)
    context.ledger.jobs.finish_upload(context.run)
    context.observer.notice("step", f"{files_text(sent)} sent.")


class _Ticks:
    """What the main thread does about once a second while the workers send."""

    def __init__(self, context: Context, sender: Sender, scanning: Scanning) -> None:
        self._context = context
        self._sender = sender
        self._scanning = scanning
        self._stall = StallAlarm(context)
        self._next_progress = 0.0

    def tick(self, *, last: bool = False) -> None:
        """See that the run may go on, and tell the observer when it is time."""
        self._context.check_may_continue()
        now = clock.monotonic()
        if now >= self._next_progress or last:
            progress = self._progress()
            if self._scanning.finished.is_set():
                left = progress.counts.bytes
                self._sender.left_bytes = sum(left.get(state, 0) for state in ON_THE_WAY)
            self._context.show(progress)
            self._stall.observe(progress)
            cost_s = clock.monotonic() - now
            # A large ledger is asked less often.
            self._next_progress = now + max(PROGRESS_EVERY_S, 20 * cost_s)

    def wait_for_answers(self, threads: list[RunThread]) -> None:
        """Wait a while for what a halted run has under way; after an orderly stop, the observer is told of it."""
        token, told = self._context.cancel_token, -1
        orderly = isinstance(token.reason, Interrupted | Stopped | DurationReached)
        while busy := [thread for thread in threads if not thread.finished.is_set()]:
            left_s = token.grace_s(GRACE_S)
            if not left_s:
                return
            if orderly and token.requests != told:
                told = token.requests
                self._context.observer.progress(self._progress(stopping=told))
            busy[0].finished.wait(min(TICK_S, left_s))

    def _progress(self, stopping: int | None = None) -> Progress:
        return Progress(
            state=JobState.TRANSACTION_OPEN,
            counts=self._context.ledger.files.counts(self._context.job.id),
            bytes_moving=self._sender.courier.bytes_moving,
            attempts_failed=self._sender.attempts_failed,
            workers=self._sender.concurrency.limit,
            scanning=not self._scanning.finished.is_set(),
            waiting=self._sender.gate.waiting,
            stopping=stopping,
        )


def nothing_to_send(address: str, left_out: Mapping[str, int], *, sent: int = 0) -> UsageError:
    """Return the error for a source without a file to send; `left_out`: reason -> number of files.

    With files `sent`, the filters are taken for a mistake: what they leave out is not what anybody meant to process.
    """
    if sent:
        return UsageError(
            f"The filters leave out everything in {path_to_text(address)} ({words.counted(left_out)}), what was sent as well, "
            "so processing was not started. Correct them and run the same command again; or, if nothing more is to be sent, "
            f"`--files-from {os.devnull}`."
        )
    by_type = not left_out or any(reason.startswith(OTHER_TYPE) for reason in left_out)
    formats = " Formats: .jpg .jpeg .png .webp .mp4 .mov; `--include '*.EXT'` sends files of other types, and only those."
    return UsageError(
        f"Nothing to send in {path_to_text(address)}"
        + (f" (left out: {words.counted(left_out)})." if left_out else ".")
        + (formats if by_type else "")
    )


def _left(context: Context, counts: Counts) -> FilesHeld | GaveUp | Undecided:
    """Return the error for files that are neither sent nor waived: what is left, and what to do."""
    job, files = context.reload(), context.ledger.files
    what_next = next_step(job, counts).text
    if counts[FileState.PENDING]:
        return GaveUp(f"{files_text(counts[FileState.PENDING])} not sent yet. {what_next}")
    if unknown := counts[FileState.UNKNOWN]:
        some = first_few(files, job.id, FileState.UNKNOWN)
        what_next = next_step(job, counts, last_exit_code=Undecided.exit_code).text
        return Undecided(f"{files_text(unknown)} may or may not have been delivered:\n{some}\n{what_next}")
    held = sum(counts[state] for state in WAIVABLE)
    some = first_few(files, job.id, *(state for state in sorted(WAIVABLE) if counts[state]))
    return FilesHeld(f"{files_text(held)} can't be sent, so processing was not started:\n{some}\n{what_next}")


def first_few(files: Files, job_id: str, *states: FileState) -> str:
    """Return the first few files in these states, a line each."""
    lines: list[str] = []
    for row in files.rows(job_id, *states):
        if len(lines) == 5:
            lines.append(f"  ... `vl-ingest files {job_id} --state {','.join(states)}` lists more")
            break
        lines.append(f"  {path_to_text(row.path)}: {row.state}, {row.reason or 'no reason on record'}")
    return "\n".join(lines)
