"""`retry`, `waive`, `settle`, `stop` and `cancel`: a person's decisions."""

from typing import TYPE_CHECKING, Any

import click

from vl_ingest.cli.confirm import confirm, yes_option
from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import (
    DURATION,
    REASON,
    given,
    job_argument,
    ledger_options,
    open_api,
    open_ledger,
    option,
    server_options,
    show,
)
from vl_ingest.domain.model import FINISHED, JobState
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.standing import next_step

if TYPE_CHECKING:
    from vl_ingest.domain.model import Job
    from vl_ingest.ledger import Ledger

WAIT_HELP = "How long to wait for the run to end."
named_files = click.argument("names", metavar="[PATH|PATTERN]...", nargs=-1)
patience = option("--patience", "wait_s", type=DURATION, default="2m", show_default=True, help=WAIT_HELP)


def _next(book: "Ledger", job: "Job") -> str:
    from vl_ingest.ledger.runs import is_alive

    last = book.runs.last(job.id)
    return next_step(book.jobs.get(job.id), book.files.counts(job.id), at_work=is_alive(last)).text


def _print(as_json: bool, job_id: str, text: str, **facts: object) -> None:
    show({"type": "summary", "job": job_id, **facts}, text, as_json=as_json)


@click.command(cls=Command)
@job_argument
@named_files
@option("--resume", "resumes", is_flag=True, help="Then resume the job.")
@ledger_options
@click.pass_context
def retry(
    context: click.Context,
    job_reference: str,
    names: tuple[str, ...],
    resumes: bool,
    ledger: str | None,
    as_json: bool,
) -> object:
    """Try again the files that could not be sent.

    These are rejected, changed, missing, unreadable and empty files: all of them, or those you name. A waived file is
    taken back if you name it. A PATTERN is as in .gitignore.

    Example:  vl-ingest retry holidays --resume
    """
    from vl_ingest.manage import decide

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        count = decide.retry(book, job, names or None)
        text = f"{files_text(count)} will be tried again. {'' if resumes else _next(book, job)}"
    _print(as_json, job.id, text.rstrip(), retried=count)
    return _resume(context, job.id, ledger, as_json=as_json) if resumes else None


def _resume(context: click.Context, job_id: str, ledger: str | None, *, as_json: bool) -> object:
    """Carry out `resume` as if it had been written after this command."""
    from vl_ingest.cli.run import resume

    arguments = [job_id, *(["--ledger", ledger] if ledger else []), *(["--json"] if as_json else [])]
    with resume.make_context("resume", arguments, parent=context.parent) as following:
        return resume.invoke(following)


@click.command(cls=Command)
@job_argument
@named_files
@option("--all", "everything", is_flag=True, help="Every file that can't be sent.")
@option("--reason", type=REASON, help="The reason, for the record.")
@ledger_options
def waive(
    job_reference: str, names: tuple[str, ...], everything: bool, reason: str | None, ledger: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Let a job continue without some files.

    PATH is a path as `files` lists it, or a path to the file. PATTERN is as in .gitignore.

    Example:  vl-ingest waive holidays 'scans/*.jpg' --reason blurred
    """
    from vl_ingest.manage import decide

    chosen = decide.waived_names(names, everything=everything)
    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        count = decide.waive(book, job, chosen, reason)
        told = (
            f"{files_text(count)} waived." if count else "0 files waived: none is known to be unsendable now."
        )
        text = f"{told} {_next(book, job)}"
    _print(as_json, job.id, text, waived=count)


@click.command(cls=Command)
@job_argument
@option("--began", "word", flag_value="began", envvar=None, help="Processing has begun.")
@option("--not-begun", "word", flag_value="not-begun", envvar=None, help="Processing has not begun.")
@option("--delivered", "word", flag_value="delivered", envvar=None, help="The unknown files have arrived.")
@option(
    "--not-delivered",
    "word",
    flag_value="not-delivered",
    envvar=None,
    help="The unknown files have not arrived.",
)
@ledger_options
def settle(job_reference: str, word: str | None, ledger: str | None, as_json: bool) -> None:
    """Settle an unknown outcome.

    State what only you can find out. Your decision is recorded.

    Example:  vl-ingest settle holidays --began
    """
    from vl_ingest.manage import decide

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        count = decide.settle(book, job, word)
        if count is None:
            what = "the addition" if job.state in (JobState.ADDING, JobState.PROCESSING) else "processing"
            text = f"Recorded your decision: {what} has {'' if word == 'began' else 'not '}begun."
        else:
            text = f"{files_text(count)} {'' if word == 'delivered' else 'not '}delivered, by your decision."
        text = f"{text} {_next(book, job)}"
    _print(as_json, job.id, text, settled=word)


@click.command(cls=Command)
@job_argument
@patience
@ledger_options
def stop(job_reference: str, wait_s: float, ledger: str | None, as_json: bool) -> None:
    """Stop a job's run from another terminal.

    The run ends as on SIGTERM (exit code 143), after a few seconds for open requests. `resume` continues it.

    Example:  vl-ingest stop holidays
    """
    from vl_ingest.manage.stop import stop as stop_run

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        stopped = stop_run(book, job, wait_s)
        text = f"The run on job {job.id} has stopped. {_next(book, job)}"
    _print(as_json, job.id, text if stopped else f"No run is working on job {job.id}.", stopped=stopped)


@click.command(cls=Command)
@job_argument
@patience
@option("--abort", "aborts", is_flag=True, help="Have processing aborted on the server, where it can be.")
@yes_option
@server_options
@ledger_options
def cancel(
    job_reference: str, wait_s: float, aborts: bool, yes: bool, base_url: str, access: dict[str, Any],
    ledger: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Give up a job. What is on the server stays there.

    A run that is working on it is stopped first. Asks on a terminal; without one, it does not. With --abort, the server
    is asked to stop processing, too.

    Example:  vl-ingest cancel holidays
    """
    from vl_ingest.manage import decide
    from vl_ingest.manage.stop import stop as stop_run

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        if job.state not in FINISHED:
            more = " Its processing on the server is aborted." if aborts else ""
            confirm(f"Give up job {job.id} ({job.name})? What is on the server stays there.{more}", yes)
        stop_run(book, job, wait_s, "cancel")
        said = ""
        if aborts and job.state not in FINISHED:
            from vl_ingest.processing.abort import abort

            said = f"; {abort(book, open_api(base_url if given('base_url') else job.base_url, access), job)}"
        decide.cancel(book, book.jobs.get(job.id))
    left = f"dataset {job.dataset_id} stays as it is" if job.dataset_id else "no dataset had been created"
    _print(as_json, job.id, f"Job {job.id} is cancelled; {left}{said}.", state="cancelled")
