"""`run`, `resume` and `add`: the commands that do the work."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import (
    NAME,
    RATE,
    given,
    job_argument,
    ledger_options,
    of_job,
    open_ledger,
    open_tokens,
    optional_job_argument,
    server_options,
    setting_options,
    settings_from,
    telling_options,
    verbosity,
)
from vl_ingest.cli.suggest import completed
from vl_ingest.domain.errors import Interrupted, UsageError, VlIngestError
from vl_ingest.domain.settings import Settings
from vl_ingest.domain.words import several

if TYPE_CHECKING:
    from vl_ingest.domain.model import Job
    from vl_ingest.ingest import Ingest
    from vl_ingest.ledger import Ledger
    from vl_ingest.observers.observer import Observer

LEAVE_AFTER_S = 9.5  # after a signal, whatever still hangs


@click.command(cls=Command)
@click.argument("source", type=click.Path())
@of_job("--name", type=NAME, required=True, help="Name of the dataset.")
@of_job("--new", is_flag=True, help="Start a new dataset if the last job is finished.")
@of_job(
    "--new-transaction",
    rare=True,
    is_flag=True,
    help="Abandon the open transaction and send everything again.",
)
@of_job("--dry-run", is_flag=True, help="Show what would be sent; sends nothing.")
@of_job(
    "--rate",
    rare=True,
    type=RATE,
    help="With --dry-run: the expected speed, to estimate the duration (8M: MiB per second).",
)
@setting_options
@telling_options
@server_options
@ledger_options
def run(
    source: str, name: str, new: bool, new_transaction: bool, dry_run: bool, rate: float | None, telling: dict[str, Any],
    base_url: str, access: dict[str, Any], ledger: str | None, as_json: bool, **values: Any,
) -> int:  # fmt: skip
    """Upload the folder SOURCE, and watch until the dataset is ready.

    After any interruption, run the same command again: it continues.

    Example:  vl-ingest run photos --name holidays
    """
    settings, again = settings_from(values), {"new": new, "new_transaction": new_transaction}
    if dry_run:
        from vl_ingest.cli import preview

        return preview.dry_run(
            source,
            name,
            settings,
            base_url=base_url,
            access=access,
            place=ledger,
            rate=rate,
            as_json=as_json,
            **again,
        )
    if rate is not None:
        raise UsageError(
            "--rate only works with --dry-run, to estimate the duration. To limit a run's speed, use --bwlimit."
        )
    tokens = open_tokens(base_url, access)
    with open_ledger(ledger, create=True) as book, observers_of(book, as_json, **telling) as observers:
        from vl_ingest.ingest import Ingest

        ingest = Ingest(book, base_url=base_url, tokens=tokens, observers=observers)
        with signals(ingest, observers):
            return exit_code(lambda: ingest.run(source, name, settings, **again))


@click.command(cls=Command)
@optional_job_argument
@of_job("--source", type=click.Path(), help="Where the folder is now, if it has moved.")
@setting_options
@telling_options
@server_options
@ledger_options
def resume(job_reference: str | None, ledger: str | None, **values: Any) -> int:
    """Continue a job with the settings it had.

    JOB is an id or a name; the default is the only unfinished job. Its server is the one it had, unless
    --base-url names a new address.

    Example:  vl-ingest resume holidays --source /mnt/photos
    """
    with open_ledger(ledger) as book:
        known = book.jobs.find(job_reference) if job_reference else book.jobs.only_unfinished()
        return _go_on(book, known, **values)


@click.command(cls=Command)
@job_argument
@of_job("--source", type=click.Path(), help="Where the folder is now, if it has moved.")
@setting_options
@telling_options
@server_options
@ledger_options
def add(job_reference: str, ledger: str | None, **values: Any) -> int:
    """Add what is new in a job's folder to its dataset.

    The same as `run ... --add`, for a known job. Files that are already in the dataset are left alone.

    Example:  vl-ingest add holidays
    """
    with open_ledger(ledger) as book:
        return _go_on(book, book.jobs.find(job_reference), adds=True, **values)


def _go_on(
    book: "Ledger", known: "Job", *, source: str | None, telling: dict[str, Any], base_url: str,
    access: dict[str, Any], as_json: bool, adds: bool = False, **values: Any,
) -> int:  # fmt: skip
    """Continue a known job."""
    from vl_ingest.source.listing import is_read_once

    settings = settings_from(values, Settings.of_job(known.settings))
    if is_read_once(settings.files_from) and not values["files_from"]:
        raise UsageError("The job's list of files could be read only once: give --files-from again.")
    if any(map(is_read_once, settings.exclude_from)) and not values["exclude_from"]:
        raise UsageError("The job's list of patterns could be read only once: give --exclude-from again.")
    where = base_url if given("base_url") else known.base_url
    tokens = open_tokens(where, access)
    with observers_of(book, as_json, **telling) as observers:
        from vl_ingest.ingest import Ingest

        ingest = Ingest(book, base_url=where, tokens=tokens, observers=observers)
        with signals(ingest, observers):
            go_on = ingest.add if adds else ingest.resume
            return exit_code(lambda: go_on(known, settings, source=source))


def exit_code(work: Callable[[], object]) -> int:
    """Do the work; how it ended, the observers have told."""
    try:
        work()
    except VlIngestError as exc:
        return exc.exit_code
    return 0


@contextmanager
def observers_of(
    ledger: "Ledger", as_json: bool, *, stats: float, log_file: str | None, log_size: int, metrics_file: str | None,
    on_finish: str | None, on_trouble: str | None,
) -> "Iterator[list[Observer]]":  # fmt: skip
    """Give those who are to be told of the run: the display first, and the hooks last, when all others know."""
    from vl_ingest.cli.display import Display

    louder = verbosity()
    complete = completed(click.get_current_context())
    display = Display(ledger, as_json=as_json, line_every_s=stats, quiet=louder < 0, complete=complete)
    observers: list[Observer] = [display]

    def warn(text: str) -> None:
        display.notice("warning", text)

    with ExitStack() as stack:  # the display is entered last: what can't be logged is not begun
        if log_file is not None or louder > 0:
            from vl_ingest.observers import log

            if log_file is not None:
                stack.enter_context(log.log_file(log_file, log_size, warn))
            observers.append(log.LogObserver())
        if metrics_file is not None:
            observers.append(_metrics(ledger, metrics_file, warn))
        if on_finish is not None or on_trouble is not None:
            from vl_ingest.observers.hooks import Hooks

            observers.append(Hooks(ledger, on_finish, on_trouble, warn))
        stack.enter_context(display)
        yield observers


def _metrics(ledger: "Ledger", path: str, warn: Callable[[str], None]) -> "Observer":
    try:
        from vl_ingest.observers.metrics import Metrics
    except ImportError as exc:
        raise UsageError(
            f"--metrics-file needs a package: pip install 'vl-ingest[metrics]'. ({exc})"
        ) from exc
    return Metrics(ledger, path, warn)


def _stopping(number: int, requests: int) -> str:
    """Return what is said at once after a signal."""
    from vl_ingest.upload.steps import GRACE_S

    now = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
    wait = f"waiting up to {GRACE_S:.0f} s for {several(requests, 'request')}; " if requests else ""
    return f"Stopping: {wait}{now} to leave now."


def _leave_now(number: int, requests: int) -> NoReturn:
    """End the process, and say what that means; without the locks of the display, which this very thread may hold."""
    doubt = ""
    if requests:
        doubt = (
            f"The outcome of {several(requests, 'unanswered request')} is unknown; the next run settles it. "
        )
    text = f"vl-ingest: Stopped at once. {doubt}Run the same command again to continue."
    with suppress(OSError):  # nobody reads any more
        show_cursor = "\r\n\x1b[?25h" if os.isatty(2) else ""  # a live display has hidden it
        os.write(2, f"{show_cursor}{text}\n".encode())
    os._exit(128 + number)


@contextmanager
def signals(ingest: "Ingest", observers: "Sequence[Observer]") -> Iterator[None]:
    """Turn the first signal into a clean stop, and the second, or a request that hangs, into an immediate one."""
    over = threading.Event()
    asked: list[int] = []

    def leave(number: int) -> None:
        reason = Interrupted(number)
        ingest.stop(reason)
        for observer in observers:
            observer.notice("stopping", _stopping(number, ingest.requests))
        if not over.wait(LEAVE_AFTER_S):
            try:
                ingest.abandon(reason)
            finally:
                _leave_now(number, ingest.requests)

    def stop(number: int, _frame: FrameType | None) -> None:
        if asked:
            _leave_now(number, ingest.requests)
        asked.append(number)
        # The thread that was interrupted may hold the very locks that a stop wants.
        threading.Thread(target=leave, args=(number,), daemon=True).start()

    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What was told to ignore a signal (nohup) goes on ignoring it.
    if threading.current_thread() is not threading.main_thread():
        wanted = []  # only there may handlers be set; whoever calls from elsewhere keeps its own
    before = {n: signal.signal(n, stop) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
