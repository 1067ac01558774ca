"""`run` and `resume`: the commands that do the work."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vl_ingest.cli.options import (
    DURATION,
    RATE,
    ledger_options,
    log_options,
    open_api,
    open_ledger,
    option,
    optional_job_argument,
    server_options,
    setting_options,
    settings_from,
    verbosity,
)
from vl_ingest.errors import Interrupted, UsageError, VlIngestError

if TYPE_CHECKING:
    from vl_ingest.context import Control
    from vl_ingest.ledger import Ledger
    from vl_ingest.observer import Observer
    from vl_ingest.summary import Summary

LEAVE_AFTER_S = 9.5  # after a signal, whatever still hangs
stats_option = option(
    "--stats",
    type=DURATION,
    default="60s",
    show_default=True,
    help="Off a terminal, a line this often; '0': none.",
)


@click.command()
@click.argument("source", type=click.Path())
@option("--name", required=True, help="Name of the dataset.")
@option("--new", is_flag=True, help="Start another dataset if the last one is finished.")
@option("--new-transaction", is_flag=True, help="Give up the open transaction and send everything again.")
@option("--dry-run", is_flag=True, help="Only say what would be sent, and open every file; asks no server.")
@option("--rate", type=RATE, help="With --dry-run: how fast it will go, for the duration (8M: MiB a second).")
@setting_options
@stats_option
@log_options
@server_options
@ledger_options
def run(
    source: str, name: str, new: bool, new_transaction: bool, stats: float, dry_run: bool, rate: float | None, as_json: bool, ledger: str | None, base_url: str, no_auth: bool,
    token_file: str | None, token_command: str | None, credentials_file: str | None, log_file: str | None, log_size: int, **values: Any,
) -> int:  # fmt: skip
    """Upload the folder SOURCE, and watch until it is ready.

    Run the same command again after any interruption: it goes on where it stopped.

    Example:  vl-ingest run photos --name holidays
    """
    if not name.strip():
        raise UsageError("A dataset needs a name: --name NAME.")
    from vl_ingest import job

    settings = settings_from(values)
    if dry_run:
        from vl_ingest.cli import preview

        return preview.dry_run(
            source, name, settings, base_url=base_url, new=new, new_transaction=new_transaction, place=ledger,
            rate=rate, as_json=as_json,
        )  # fmt: skip
    if rate is not None:
        raise UsageError("--rate is for the duration that --dry-run tells; a run goes as fast as it can.")
    api = open_api(base_url, no_auth, token_file, token_command, credentials_file)
    with (
        open_ledger(ledger, create=True) as book,
        _signals() as control,
        _observer(book, as_json, stats, log_file, log_size) as observer,
    ):
        return _reported(
            observer,
            lambda: job.run(
                book,
                api,
                source,
                name,
                settings,
                new=new,
                new_transaction=new_transaction,
                observer=observer,
                control=control,
            ),
        )


@click.command()
@optional_job_argument
@option("--source", type=click.Path(), help="Where the folder lies now, if it has moved.")
@setting_options
@stats_option
@log_options
@server_options
@ledger_options
def resume(
    job_reference: str | None, source: str | None, stats: float, as_json: bool, ledger: str | None, base_url: str,
    no_auth: bool, token_file: str | None, token_command: str | None, credentials_file: str | None, log_file: str | None, log_size: int, **values: Any,
) -> int:  # fmt: skip
    """Continue a job with the settings it had.

    JOB is an id or a name, by default the only unfinished job. Its server is the one it had, too, unless
    --base-url says where that is now.

    Example:  vl-ingest resume holidays --source /mnt/photos
    """
    from vl_ingest import job
    from vl_ingest.config import Settings

    with open_ledger(ledger) as book, _signals() as control:
        known = book.jobs.find(job_reference) if job_reference else _only_unfinished(book)
        settings = settings_from(values, Settings.from_record(known.settings))
        if settings.files_from == "-" and not values["files_from"]:
            raise UsageError("The job's list of files came from standard input: say --files-from again.")
        moved = click.get_current_context().get_parameter_source("base_url") is ParameterSource.COMMANDLINE
        api = open_api(
            base_url if moved else known.base_url, no_auth, token_file, token_command, credentials_file
        )
        with _observer(book, as_json, stats, log_file, log_size) as observer:
            return _reported(
                observer,
                lambda: job.resume(
                    book, api, known, settings, source=source, observer=observer, control=control
                ),
            )


def _only_unfinished(ledger: "Ledger") -> Any:
    from vl_ingest.model import FINISHED

    unfinished = [job for job in ledger.jobs.all() if job.state not in FINISHED]
    if len(unfinished) != 1:
        listed = ", ".join(f"{job.id} ({job.name})" for job in unfinished) or "none"
        raise UsageError(f"Say which job to resume. Unfinished: {listed}.")
    return unfinished[0]


@contextmanager
def _observer(
    ledger: "Ledger", as_json: bool, line_every_s: float, log_file: str | None, log_size: int
) -> "Iterator[Observer]":
    """Give whoever is to be told of the run: the display, and the log where one is wanted."""
    from vl_ingest.cli.display import Display

    louder = verbosity()
    with ExitStack() as stack:
        # Opened before the display: what can't be logged is not begun.
        display = Display(ledger, as_json=as_json, line_every_s=line_every_s, quiet=louder < 0)
        observer: Observer = display
        if log_file is not None or louder > 0:
            from vl_ingest import log
            from vl_ingest.observer import Observers

            if log_file is not None:
                stack.enter_context(
                    log.log_file(log_file, log_size, lambda text: display.notice("warning", text))
                )
            observer = Observers([display, log.LogObserver()])
        stack.enter_context(display)
        yield observer


def _reported(observer: "Observer", work: Any) -> int:
    """Do the work and show how it ended, also when it ended badly."""
    try:
        summary: Summary = work()
    except VlIngestError as exc:
        observer.ended(exc)
        return exc.exit_code
    observer.finished(summary)
    return 0


@contextmanager
def _signals() -> "Iterator[Control]":
    """Turn the first signal into a clean stop, and the second into an immediate one."""
    from vl_ingest.context import Control

    control = Control()
    over = threading.Event()
    asked: list[int] = []

    def leave(number: int) -> None:
        control.halt(Interrupted(number))
        if not over.wait(LEAVE_AFTER_S):
            os._exit(128 + number)

    def stop(number: int, _frame: FrameType | None) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        # The thread that was interrupted may hold the very locks that `halt` wants.
        threading.Thread(target=leave, args=(number,), daemon=True).start()

    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What was told to ignore a signal (nohup) goes on ignoring it.
    if threading.current_thread() is not threading.main_thread():
        wanted = []  # only there may handlers be set; whoever calls from elsewhere keeps its own
    before = {n: signal.signal(n, stop) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield control
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
