"""The alarm for a run that is neither waiting nor moving."""

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileState
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context


class StallAlarm:
    """Warns once when no byte has moved for `stall_after_s`, and says when that is over; 0: never."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._after_s = context.settings.stall_after_s
        self._moved: object = None
        self._since = clock.monotonic()
        self._stalled = False
        self._sent = self._out = (
            0  # bytes with a receipt, and these with those on their way, at the last look
        )

    def observe(self, progress: Progress) -> None:
        """Compare a moment of the run with the one before."""
        now = clock.monotonic()
        moved = (progress.counts.bytes, progress.bytes_moving, progress.attempts_failed, progress.scanning)
        sent = progress.counts.bytes.get(FileState.SENT, 0)
        more = sent > self._sent or sent + progress.bytes_moving > self._out
        self._sent, self._out = sent, sent + progress.bytes_moving
        if self._stalled:  # a wait or a failed attempt is no end of it: only bytes and receipts are
            if more:
                text = f"Data is moving again, after {words.duration(now - self._since)}."
                self._report("step", EventKind.STALL_OVER, text)
                self._since, self._stalled, self._moved = now, False, moved
        elif moved != self._moved or progress.waiting:
            self._since, self._moved = now, moved
        elif self._after_s and now - self._since >= self._after_s:
            self._stalled = True
            still = words.duration(now - self._since)
            self._report(
                "warning", EventKind.STALLED,
                f"No data has moved for {still}, although the server was last known to be working. If that lasts, check "
                f"the network and the disk; stopping (Ctrl-C, `vl-ingest stop {self._context.job.id}`) loses nothing.",
            )  # fmt: skip

    def _report(self, kind: str, event: EventKind, text: str) -> None:
        self._context.note(event, seconds=round(clock.monotonic() - self._since))
        self._context.observer.notice(kind, text, event=event)
