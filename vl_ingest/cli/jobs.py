"""`jobs`, `jobs prune` and `export`: the jobs of a ledger, listed, taken out, kept elsewhere."""

from datetime import timedelta
from pathlib import Path

import click

from vl_ingest import clock
from vl_ingest.cli.display import summary_facts
from vl_ingest.cli.options import (
    DURATION,
    given,
    job_argument,
    ledger_options,
    open_ledger,
    open_to_read,
    option,
    show,
)
from vl_ingest.domain import words
from vl_ingest.domain.errors import UsageError

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(invoke_without_command=True)
@ledger_options
@click.pass_context
def jobs(context: click.Context, ledger: str | None, as_json: bool) -> None:
    """List all jobs of the ledger.

    Example:  vl-ingest jobs --json
    """
    if context.invoked_subcommand is not None:
        if given(*context.params):
            raise UsageError(f"Write the options after `{context.invoked_subcommand}`, which has its own.")
        return
    from vl_ingest.ledger.summary import summarise

    with open_to_read(ledger) as book:
        listed = [summary_facts(summarise(book, job.id)) for job in book.jobs.all()]
    if not listed and not as_json:
        click.echo("There is no job yet. `vl-ingest run FOLDER --name NAME` starts one.")
    for facts in listed:
        sent = f"{facts['files']['sent']:,} of {facts['total_files']:,} sent"
        text = f"{facts['job']}  {facts['state']:<17} {sent:<24} {words.path(facts['name'])}  <- {facts['source']}"
        show(facts, text, as_json=as_json)


@jobs.command()
@option(
    "--older-than", type=DURATION, required=True, help="Only jobs that have been over for so long: `90d`."
)
@option("--keep-in", type=FOLDER, help="Export each job into this folder first.")
@option("--dry-run", is_flag=True, help="Only say which jobs it would be.")
@ledger_options
def prune(older_than: float, keep_in: Path | None, dry_run: bool, ledger: str | None, as_json: bool) -> None:
    """Take finished jobs out of the ledger.

    Datasets on the server stay as they are. Without --keep-in the proof of what was sent is gone. The ledger forgets
    these jobs: the same `run` again would send the folder to a new dataset.

    Example:  vl-ingest jobs prune --older-than 90d --keep-in archive
    """
    from vl_ingest.manage import retention

    with open_ledger(ledger) as book:
        chosen = retention.prunable(book, clock.now() - timedelta(seconds=older_than))
        for job in chosen:
            if not dry_run:
                retention.prune(book, job, keep_in)
            over = f", {job.state} since {job.finished_at:%Y-%m-%d}" if job.finished_at else ""
            text = f"{'Would take' if dry_run else 'Took'} out job {job.id} ({job.name}{over})."
            facts = {"type": "pruned", "job": job.id, "name": job.name, "dry_run": dry_run}
            show(facts, text, as_json=as_json)
        if chosen and not dry_run:
            book.retention.compact()
            if not as_json:
                click.echo("The same `vl-ingest run` as for these would send their folders to new datasets.")
    if not chosen and not as_json:
        click.echo("No job has been over for that long.")


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
    text = f"Job {job.id} is in {target}. `vl-ingest verify {job.id} --ledger {target}` checks it there."
    show({"type": "summary", "job": job.id, "file": str(target)}, text, as_json=as_json)
