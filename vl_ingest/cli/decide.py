"""`retry`, `waive`, `settle`, `stop` and `cancel`: a person's decisions."""

import os

import click

from vl_ingest.cli.options import DURATION, job_argument, ledger_options, open_ledger, option, show
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.naming import files_text

WAIT_HELP = "How long to wait for the run's end."
patience = option("--patience", "wait_s", type=DURATION, default="2m", show_default=True, help=WAIT_HELP)


def _print(as_json: bool, job_id: str, text: str, **facts: object) -> None:
    show({"type": "summary", "job": job_id, **facts}, text, as_json=as_json)


@click.command()
@job_argument
@ledger_options
def retry(job_reference: str, ledger: str | None, as_json: bool) -> None:
    """Try files again that could not be sent.

    That is: rejected, changed, missing, unreadable and empty ones.

    Example:  vl-ingest retry holidays && vl-ingest resume holidays
    """
    from vl_ingest.manage import decide

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        count = decide.retry(book, job)
    text = f"{files_text(count)} will be tried again by `vl-ingest resume {job.id}`."
    _print(as_json, job.id, text, retried=count)


@click.command()
@job_argument
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path())
@option("--all", "everything", is_flag=True, help="Every file that can't be sent.")
@ledger_options
def waive(
    job_reference: str, paths: tuple[str, ...], everything: bool, ledger: str | None, as_json: bool
) -> None:
    """Let a job go on without some files.

    PATH is as `files` lists it, or a path to the file.

    Example:  vl-ingest waive holidays broken.jpg && vl-ingest resume holidays
    """
    from vl_ingest.domain.model import WAIVABLE
    from vl_ingest.domain.naming import path_from_text
    from vl_ingest.manage import decide
    from vl_ingest.source.folder import Folder

    if bool(paths) == everything:
        raise UsageError("Name the files to waive, or say --all.")
    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        if everything:
            wanted = [row.path for row in book.files.rows(job.id, *sorted(WAIVABLE))]
        else:
            # A path is one in the job, as the file system or as the ledger writes it, or one of today's.
            known = {row.path for row in book.files.rows(job.id, *sorted(WAIVABLE))}
            source, wanted = Folder(job.source), []
            for path in paths:
                real = source.path_of(os.path.abspath(path))
                wanted.append(next((p for p in (path, path_from_text(path), real) if p in known), path))
        count = decide.waive(book, job, wanted)
    text = f"{files_text(count)} waived. `vl-ingest resume {job.id}` goes on without."
    _print(as_json, job.id, text, waived=count)


@click.command()
@job_argument
@click.option("--began", "word", flag_value="began", help="Processing has begun.")
@click.option("--not-begun", "word", flag_value="not-begun", help="Processing has not begun.")
@click.option("--delivered", "word", flag_value="delivered", help="The unknown files have arrived.")
@click.option(
    "--not-delivered", "word", flag_value="not-delivered", help="The unknown files have not arrived."
)
@ledger_options
def settle(job_reference: str, word: str | None, ledger: str | None, as_json: bool) -> None:
    """Decide an outcome that is unknown.

    Say what you know and the program can't; your word is kept in the record.

    Example:  vl-ingest settle holidays --began
    """
    from vl_ingest.manage import decide

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        if word in ("began", "not-begun"):
            decide.settle_trigger(book, job, began=word == "began")
            text = f"Processing has {'' if word == 'began' else 'not '}begun, on your word."
        elif word is not None:
            count = decide.settle_files(book, job, delivered=word == "delivered")
            text = f"{files_text(count)} {'' if word == 'delivered' else 'not '}delivered, on your word."
        else:
            raise UsageError("Say one of --began, --not-begun, --delivered, --not-delivered.")
    _print(as_json, job.id, f"{text} `vl-ingest resume {job.id}` goes on.", settled=word)


@click.command()
@job_argument
@patience
@ledger_options
def stop(job_reference: str, wait_s: float, ledger: str | None, as_json: bool) -> None:
    """Stop the run that works on a job, from another terminal.

    It ends as if by SIGTERM (exit code 143) once the answers on their way are in. `resume` goes on.

    Example:  vl-ingest stop holidays
    """
    from vl_ingest.manage.stop import stop as stop_run

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        stopped = stop_run(book, job, wait_s)
    text = f"The run on job {job.id} has stopped. `vl-ingest resume {job.id}` goes on."
    _print(as_json, job.id, text if stopped else f"No run works on job {job.id}.", stopped=stopped)


@click.command()
@job_argument
@patience
@ledger_options
def cancel(job_reference: str, wait_s: float, ledger: str | None, as_json: bool) -> None:
    """Give a job up. What is on the server stays there.

    A run that works on it is stopped first.

    Example:  vl-ingest cancel holidays
    """
    from vl_ingest.manage import decide
    from vl_ingest.manage.stop import stop as stop_run

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        stop_run(book, job, wait_s, "cancel")
        decide.cancel(book, book.jobs.get(job.id))
    left = f"dataset {job.dataset_id} stays as it is" if job.dataset_id else "no dataset had been made"
    _print(as_json, job.id, f"Job {job.id} is cancelled; {left}.", state="cancelled")
