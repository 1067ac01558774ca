"""`verify`: whether the record holds, and with it the files on disk and the dataset."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import (
    given,
    job_argument,
    ledger_options,
    open_api,
    open_ledger,
    option,
    server_options,
    show,
)
from vl_ingest.domain import words
from vl_ingest.domain.checks import Check

if TYPE_CHECKING:
    from vl_ingest.domain.model import Job
    from vl_ingest.ledger import Ledger
    from vl_ingest.proof.rehash import Rehash
    from vl_ingest.source import Source

REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)
ANSWERS = {True: "holds", False: "DIFFERS", None: "unknown"}


@click.command(cls=Command)
@job_argument
@option("--rehash", is_flag=True, help="Read every sent file again and compare its SHA-256.")
@option("--afresh", rare=True, is_flag=True, help="Start an interrupted --rehash from the beginning.")
@option("--source", type=click.Path(), help="Where the folder is now, if it has moved.")
@option("--no-files", is_flag=True, help="Skip the files on disk.")
@option("--offline", is_flag=True, help="Skip the server.")
@option("--no-dataset", is_flag=True, help="Do not ask the server for each file.")
@option(
    "--head", metavar="HASH", help="Check that this hash, printed by an earlier run, is still in the chain."
)
@option("--report", type=REPORT, help="Check an earlier report (CSV, JSON, HTML) against the ledger.")
@server_options
@ledger_options
def verify(
    job_reference: str, rehash: bool, afresh: bool, source: str | None, no_files: bool, offline: bool,
    no_dataset: bool, head: str | None, report: Path | None, base_url: str, access: dict[str, Any],
    ledger: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Check a job's record, its files on disk, and its dataset.

    Of a dataset that is ready, the server is asked to list every file; what it says goes into the ledger.

    Exit code 0: everything agrees; 3: something differs.

    Example:  vl-ingest verify holidays --rehash
    """
    from vl_ingest.proof.whole import check_head, checks, raise_what_differs
    from vl_ingest.source.addresses import source_at

    check_head(head)
    made: list[Check] = []
    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        where = base_url if given("base_url") else job.base_url
        for check in checks(
            book, job, head=head, report=report, source=None if no_files else source_at(source or job.source),
            compare=lambda folder: _files(book, job, folder, rehash=rehash, afresh=afresh, as_json=as_json),
            api=None if offline else lambda: open_api(where, access),
            differs=None if no_dataset else _differs(as_json=as_json),
        ):  # fmt: skip
            made.append(check)
            facts = {
                "type": "check",
                "name": check.name,
                "held": check.held,
                "text": check.text,
                **check.facts,
            }
            show(facts, f"{ANSWERS[check.held]:<10}{check.name:<12}{check.text}", as_json=as_json)
    raise_what_differs(job, made)
    return 0


def _files(
    book: "Ledger", job: "Job", source: "Source", *, rehash: bool, afresh: bool, as_json: bool
) -> Check:
    from vl_ingest.proof.rehash import verify_files

    differs = _differs(as_json=as_json)
    with _progress(book, job, shown=rehash and not as_json) as progress:
        how = {"hashed": rehash, "afresh": afresh}
        return verify_files(book, job, source, differs=differs, progress=progress, **how)


def _differs(*, as_json: bool) -> Callable[[str, str], None]:
    """Return what shows a file that differs."""
    from vl_ingest.domain.naming import path_to_text

    def show_one(path: str, reason: str) -> None:
        facts = {"type": "difference", "path": path_to_text(path), "reason": reason}
        show(facts, f"{'':<10}{words.path(path)} {reason}", as_json=as_json)

    return show_one


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
