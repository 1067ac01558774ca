"""`verify`, `events`, `export` and `jobs prune`: the record, whether it holds, and keeping it."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vl_ingest.cli.options import (
    DURATION,
    job_argument,
    ledger_options,
    open_api,
    open_ledger,
    option,
    server_options,
)
from vl_ingest.domain import words
from vl_ingest.domain.errors import Differs, GaveUp, RequestError, UsageError

if TYPE_CHECKING:
    from vl_ingest.domain.model import Event, Job
    from vl_ingest.ledger import Ledger
    from vl_ingest.proof.rehash import Rehash
    from vl_ingest.proof.verify import Check

ANSWERS = {True: "holds", False: "DIFFERS", None: "no answer"}
FOLLOW_EVERY_S = 1.0


@click.command()
@job_argument
@option("--rehash", is_flag=True, help="Read every sent file again and compare its SHA-256.")
@option("--afresh", is_flag=True, help="Begin an interrupted --rehash from the start.")
@option("--source", type=click.Path(), help="Where the folder lies now, if it has moved.")
@option("--no-files", is_flag=True, help="Leave the files on disk out.")
@option("--offline", is_flag=True, help="Leave the server out.")
@option("--head", metavar="HASH", help="A hash that was printed or kept: is it still in the chain?")
@option(
    "--report",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A report made earlier (CSV, JSON, HTML): does it say what the ledger says?",
)
@server_options
@ledger_options
def verify(
    job_reference: str, rehash: bool, afresh: bool, source: str | None, no_files: bool, offline: bool,
    head: str | None, report: Path | None, base_url: str, access: dict[str, Any],
    ledger: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Check a job's record, its files on disk, and its dataset.

    Exit code 0: everything holds; 3: something differs.

    Example:  vl-ingest verify holidays --rehash
    """
    from vl_ingest.proof.verify import verify_record, verify_server

    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise UsageError("--head wants the whole hash, 64 letters and digits, as the end of a run prints it.")
    checks: list[Check] = []

    def answered(check: "Check") -> None:
        checks.append(check)
        if as_json:
            told = {"type": "check", "name": check.name, "held": check.held, "text": check.text}
            click.echo(json.dumps({**told, **check.facts}))
        else:
            click.echo(f"{ANSWERS[check.held]:<10}{check.name:<12}{check.text}")

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        for check in verify_record(book, job.id, head):
            answered(check)
        if report is not None:
            answered(_report(book, job, report))
        if not no_files:
            answered(_files(book, job, source or job.source, rehash=rehash, afresh=afresh, as_json=as_json))
        if not offline:
            given = click.get_current_context().get_parameter_source("base_url")
            moved = given is ParameterSource.COMMANDLINE
            api = open_api(base_url if moved else job.base_url, access)
            try:
                answered(verify_server(book, api, job))
            except RequestError as exc:
                raise GaveUp(
                    f"The server does not tell of the dataset: {exc}. Try again, or leave it out: `--offline`."
                ) from exc
    wrong = [check.name for check in checks if check.held is False]
    if wrong:
        raise Differs(f"Job {job.id} is not as its record says: {', '.join(wrong)}.")
    return 0


def _report(book: "Ledger", job: "Job", report: Path) -> "Check":
    from vl_ingest.proof.report import verify_report
    from vl_ingest.report import NEEDS

    try:
        return verify_report(book, job.id, report)
    except ImportError as exc:
        raise UsageError(f"{NEEDS} ({exc})") from exc


def _files(book: "Ledger", job: "Job", source: str, *, rehash: bool, afresh: bool, as_json: bool) -> "Check":
    from vl_ingest.domain.naming import path_to_text
    from vl_ingest.proof.rehash import verify_files

    def differs(path: str, reason: str) -> None:
        if as_json:
            click.echo(json.dumps({"type": "difference", "path": path_to_text(path), "reason": reason}))
        else:
            click.echo(f"{'':<10}{words.path(path)} {reason}")

    with _progress(book, job, shown=rehash and not as_json) as progress:
        return verify_files(
            book, job, source, hashed=rehash, afresh=afresh, differs=differs, progress=progress
        )


@contextmanager
def _progress(book: "Ledger", job: "Job", *, shown: bool) -> Iterator[Callable[["Rehash"], None]]:
    """Show how far the reading is, on a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda _state: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from vl_ingest.domain.model import FileState

    total = book.files.counts(job.id).bytes.get(FileState.SENT, 0)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda state: bar.update(task, completed=state.size_bytes)


@click.command()
@job_argument
@option("--kind", "kinds", multiple=True, metavar="KIND", help="Only events of this kind; may be repeated.")
@option("--since", type=DURATION, help="Only of the last while: `2h`, `3d`.")
@option("--follow", is_flag=True, help="Go on as more happens, until the job is over.")
@ledger_options
def events(
    job_reference: str, kinds: tuple[str, ...], since: float | None, follow: bool, ledger: str | None, as_json: bool
) -> None:  # fmt: skip
    """Show the history of a job, oldest first.

    Example:  vl-ingest events holidays --kind batch_sent --since 2h
    """
    import threading

    from vl_ingest import clock
    from vl_ingest.domain.model import FINISHED
    from vl_ingest.ledger.lock import is_alive

    earliest = None if since is None else clock.now() - timedelta(seconds=since)
    with open_ledger(ledger, look=True) as book:
        job = book.jobs.find(job_reference)
        seen, over = 0, False
        while True:
            # Before the last look; the end of its run is the last event of a job that is over.
            over = not follow or (
                book.jobs.get(job.id).state in FINISHED and not is_alive(book.runs.last(job.id))
            )
            for event in book.events.history(job.id, *kinds, after=seen):
                seen = event.number
                if earliest is None or event.at >= earliest:
                    click.echo(json.dumps(_told(event)) if as_json else _line(event))
            if over:
                return
            threading.Event().wait(FOLLOW_EVERY_S)


def _told(event: "Event") -> dict[str, Any]:
    return {
        "number": event.number, "at": event.at.isoformat(), "run": event.run_id, "host": event.host,
        "user": event.user, "kind": event.kind, "facts": event.facts, "hash": event.hash,
    }  # fmt: skip


def _line(event: "Event") -> str:
    facts = ", ".join(f"{k}={v}" for k, v in event.facts.items() if v not in (None, {}, []))
    text = f"{event.at:%Y-%m-%d %H:%M:%S}  run {event.run_id or '-':<4} {event.kind:<24} {facts}"
    return words.path(text)


@click.command()
@job_argument
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@ledger_options
def export(job_reference: str, target: Path, ledger: str | None, as_json: bool) -> None:
    """Write one job into a file of its own.

    Every command reads it like a ledger, with --ledger FILE.

    Example:  vl-ingest export holidays holidays.db
    """
    from vl_ingest.manage import retention

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        retention.export(book, job, target)
    if as_json:
        click.echo(json.dumps({"type": "summary", "job": job.id, "file": str(target)}))
    else:
        click.echo(
            f"Job {job.id} is in {target}. `vl-ingest verify {job.id} --ledger {target}` checks it there."
        )


@click.command()
@option(
    "--older-than", type=DURATION, required=True, help="Only jobs that have been over for so long: `90d`."
)
@option(
    "--keep-in",
    type=click.Path(file_okay=False, path_type=Path),
    help="Export each job into this folder first.",
)
@option("--dry-run", is_flag=True, help="Only say which jobs it would be.")
@ledger_options
def prune(older_than: float, keep_in: Path | None, dry_run: bool, ledger: str | None, as_json: bool) -> None:
    """Take finished jobs out of the ledger.

    Datasets on the server stay as they are. Without --keep-in the proof of what was sent is gone. The ledger forgets
    these jobs: the same `run` again would send the folder to a new dataset.

    Example:  vl-ingest jobs prune --older-than 90d --keep-in archive
    """
    from vl_ingest import clock
    from vl_ingest.manage import retention

    with open_ledger(ledger) as book:
        chosen = retention.prunable(book, clock.now() - timedelta(seconds=older_than))
        for job in chosen:
            if not dry_run:
                retention.prune(book, job, keep_in)
            if as_json:
                click.echo(
                    json.dumps({"type": "pruned", "job": job.id, "name": job.name, "dry_run": dry_run})
                )
            else:
                over = f", {job.state} since {job.finished_at:%Y-%m-%d}" if job.finished_at else ""
                click.echo(f"{'Would take' if dry_run else 'Took'} out job {job.id} ({job.name}{over}).")
        if chosen and not dry_run:
            book.retention.compact()
            if not as_json:
                click.echo("The same `vl-ingest run` as for these would send their folders to new datasets.")
    if not chosen and not as_json:
        click.echo("No job has been over for that long.")
