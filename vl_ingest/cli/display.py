"""What a run shows: a live display on a terminal, a line a minute elsewhere, JSON Lines for programs."""

import json
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vl_ingest import clock
from vl_ingest.cli.summary import by_state, summary_facts, summary_lines, tally
from vl_ingest.domain import words
from vl_ingest.domain.errors import Unforeseen, VlIngestError
from vl_ingest.domain.model import SETTLED, Counts, FileState, Job, Run
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.observers.observer import Observer, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from vl_ingest.ledger import Ledger
    from vl_ingest.ledger.summary import Summary

RATE_OVER_S = 20.0  # rate and ETA look back so far
NAMED = 20  # files that can't be sent, for people


class Rate:
    """Bytes a second over the last while."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []  # (moment, bytes until then)

    def now(self, done_bytes: int) -> float:
        """Note how many bytes are done; return the rate."""
        now = clock.monotonic()
        self._seen = [(t, b) for t, b in self._seen if now - t <= RATE_OVER_S] + [(now, done_bytes)]
        first, then = self._seen[0]
        return max(0.0, (done_bytes - then) / (now - first)) if now > first else 0.0


class Display(Observer):
    """Shows one run. People's lines go to standard error; standard output holds JSON Lines or nothing.

    Off a terminal there is a line every `line_every_s` seconds; 0: none. `complete` completes the commands that
    a line suggests.
    """

    def __init__(
        self,
        ledger: "Ledger",
        *,
        as_json: bool,
        line_every_s: float = 60.0,
        quiet: bool = False,
        complete: Callable[[str], str] = str,
    ) -> None:
        self._ledger = ledger
        self._quiet = quiet
        self._complete = complete
        self._as_json = as_json
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._run: Run | None = None
        self._console: Console | None = None
        self._live: Live | None = None
        self._next_line = 0.0
        self._line_every_s = line_every_s
        self._rate = Rate()
        self._trouble = ""
        self._waiting: str | None = None
        self._named = 0  # files that can't be sent

    def __enter__(self) -> "Display":
        if sys.stderr.isatty() and not self._as_json and not self._quiet:
            from rich.console import Console
            from rich.live import Live

            self._console = Console(stderr=True, highlight=False)
            if self._console.is_interactive:  # else it can't go back up a line
                self._live = Live("", console=self._console, refresh_per_second=4, transient=True)
                self._live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop_live()

    # What the run says

    def job_started(self, job: Job, run: Run) -> None:
        """Say which job this is."""
        self._job, self._run = job, run
        verb = "Starting" if job.run_id is None else "Continuing"
        self._line(f"{verb} job {job.id}: {words.path(job.source)} -> {job.name!r} at {job.base_url}")
        self._json(
            "job_started", job=job.id, run=run.id, name=job.name, source=path_to_text(job.source),
            base_url=job.base_url, state=job.state, dataset_id=job.dataset_id,
            transaction_id=job.transaction_id,
        )  # fmt: skip

    def progress(self, progress: Progress) -> None:
        """Refresh the live display; elsewhere a line a minute, and JSON each time."""
        now = clock.monotonic()
        done = _settled_bytes(progress.counts) + progress.bytes_moving
        rate = self._rate.now(done)
        text = _describe(progress, rate)
        if self._live is not None:
            with self._lock:
                self._live.update(_panel(text, progress, self._trouble, self._live.console.width))
        elif self._line_every_s and now >= self._next_line:
            if self._next_line:
                self._line(text)
            self._next_line = now + self._line_every_s
        if progress.waiting and not self._waiting:
            self._line(progress.waiting[0].upper() + progress.waiting[1:] + ".", matters=True)
        elif self._waiting and not progress.waiting:
            self._line("The server works again.", matters=True)
        self._waiting = progress.waiting
        self._json(
            "progress", state=progress.state, files=by_state(progress.counts),
            total_files=progress.counts.total, total_bytes=progress.counts.total_bytes,
            sent_bytes=progress.counts.bytes.get(FileState.SENT, 0), bytes_per_s=round(rate),
            attempts_failed=progress.attempts_failed, workers=progress.workers, scanning=progress.scanning, waiting=progress.waiting,
            stopping=progress.stopping,
            status=progress.status, status_progress=progress.status_progress,
        )  # fmt: skip

    def file_error(self, path: str, state: FileState, reason: str) -> None:
        """Name a file that can't be sent; people are told the first ones."""
        self._named += 1
        if self._named <= NAMED:
            self._line(f"{words.path(path)}: {state}: {reason}", matters=True)
        elif self._named == NAMED + 1 and self._job is not None:
            self._line(f"... and more; `vl-ingest files {self._job.id}` lists them.", matters=True)
        self._json("file_error", path=path_to_text(path), state=state, reason=reason)

    def notice(self, kind: str, text: str, **facts: Any) -> None:
        """Show a line; a warning also stays in the live display."""
        if kind == "warning":
            self._trouble = text
        self._line(f"warning: {text}" if kind == "warning" else text, matters=kind == "warning")
        self._json("progress", notice=text, notice_kind=kind, **facts)

    # How it ended

    def finished(self, summary: "Summary") -> None:
        """Show how a run ended that reached its goal."""
        self._stop_live()
        took = self._timing()
        worked = self._job is not None
        for line in summary_lines(summary, scanned=worked and summary.not_in_dataset is None):
            self._line(line, matters=worked)  # a run that had nothing to do may be silent
        if summary.not_in_dataset:
            from vl_ingest.proof.folder import late_text

            self.notice("warning", late_text(summary.not_in_dataset))
        self._json("summary", exit_code=0, message=None, **summary_facts(summary), **took)

    def ended(self, error: VlIngestError) -> None:
        """Show how a run ended that did not."""
        self._stop_live()
        facts: dict[str, Any] = {}
        if self._job is not None and error.exit_code != 4:
            from vl_ingest.ledger.summary import summarise

            summary = summarise(self._ledger, self._job.id)
            facts = summary_facts(summary) | self._timing()
            self._line(tally(summary), matters=True)
        if not isinstance(error, Unforeseen):  # that, whoever catches the mistake itself says
            self._line(f"vl-ingest: {error}", matters=True)
        self._json("summary", exit_code=error.exit_code, message=str(error), **facts)

    def _timing(self) -> dict[str, Any]:
        """Say how long the run took; return it for programs. A run that had nothing to do says nothing."""
        if self._run is None:
            return {}
        from vl_ingest.report.timing import timing

        took = timing(self._ledger, self._run.job_id, self._run.id)
        self._line(f"This run took {took}.", matters=True)
        return {"run_timing": took.facts()}

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, text: str, *, matters: bool = False) -> None:
        """Show a line; a quiet display only what `matters`."""
        if self._quiet and not matters:
            return
        text = self._complete(text)
        with self._lock:
            try:
                if self._console is not None:  # which breaks lines between words
                    from rich.text import Text

                    self._console.print(Text(text))
                else:
                    click.echo(text, err=True)
            except OSError:
                self._live = None  # the terminal is gone; the job goes on, and the ledger has it all

    def _json(self, kind: str, /, **facts: Any) -> None:
        if self._as_json:
            with self._lock:
                try:
                    click.echo(json.dumps({"type": kind, "at": clock.iso(clock.now()), **facts}))
                except OSError:
                    self._as_json = False  # nobody reads any more; the job goes on


def _settled_bytes(counts: Counts) -> int:
    return sum(count for state, count in counts.bytes.items() if state in SETTLED)


def _describe(progress: Progress, rate: float) -> str:
    counts = progress.counts
    if progress.status is not None:
        percent = "" if progress.status_progress is None else f", {progress.status_progress:.0f} %"
        return f"{files_text(counts[FileState.SENT])} sent; the server says {progress.status}{percent}"
    done = sum(counts[state] for state in SETTLED)
    done_bytes = _settled_bytes(counts) + progress.bytes_moving
    total = f"{counts.total:,}" + ("+" if progress.scanning else "")
    text = f"{done:,} of {total} files, {words.size(done_bytes)} of {words.size(counts.total_bytes)}"
    if rate:
        text += f", {words.size(rate)}/s"
        if not progress.scanning:
            text += f", {words.duration(max(0, counts.total_bytes - done_bytes) / rate)} left"
    if progress.workers > 1:
        text += f", {progress.workers} at once"
    if progress.attempts_failed:
        text += f", {words.several(progress.attempts_failed, 'attempt')} failed"
    if progress.stopping is not None:
        return text + f"; stopping: {words.several(progress.stopping, 'request')} without an answer yet"
    return text + (f"; {progress.waiting}" if progress.waiting else "")


def _panel(text: str, progress: Progress, trouble: str, columns: int) -> Any:
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = progress.counts
    done = min(counts.total_bytes, _settled_bytes(counts) + progress.bytes_moving)
    if progress.status is None:
        bar = ProgressBar(total=max(1, counts.total_bytes), completed=done)
    else:
        bar = ProgressBar(total=100, completed=progress.status_progress or 0)
    top = Table.grid()
    top.add_row(bar)
    lines = [Text(text)]
    if trouble:
        lines.append(Text(f"last trouble: {trouble}", style="dim", overflow="ellipsis", no_wrap=True))
    # The terminal itself writes ^C after the last line: without room for it, the next panel would be a line too low.
    return Group(top, *(Constrain(line, columns - len("^C")) for line in lines))
