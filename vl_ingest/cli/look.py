"""`status`, `jobs`, `files` and `events`: looking at the ledger without touching anything."""

import json
from typing import Any

import click

from vl_ingest import words
from vl_ingest.cli.options import ledger_options, open_ledger
from vl_ingest.model import FileState

STATES = [str(state) for state in FileState]


@click.command()
@click.argument("job_reference", metavar="[JOB]", required=False)
@ledger_options
def status(job_reference: str | None, ledger: str | None, as_json: bool) -> None:
    """Show where a job stands.

    JOB is an id or a name, by default the newest.

    Example:  vl-ingest status holidays
    """
    from vl_ingest.cli.display import summary_facts
    from vl_ingest.errors import UsageError
    from vl_ingest.summary import summarise

    with open_ledger(ledger) as book:
        if job_reference:
            job = book.jobs.find(job_reference)
        else:
            known = book.jobs.all()
            if not known:
                raise UsageError("There is no job yet. `vl-ingest run FOLDER --name NAME` starts one.")
            job = known[-1]
        facts = summary_facts(summarise(book, job.id))
        run = book.jobs.last_run(job.id)
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"Job {job.id}: {words.path(job.source)} -> {job.name!r} at {job.base_url}")
    click.echo(f"  state         {job.state}")
    click.echo(f"  dataset       {job.dataset_id or 'not created yet'}")
    click.echo(f"  transaction   {job.transaction_id or 'not open yet'}")
    click.echo(f"  server says   {job.status or 'not asked yet'}")
    click.echo(f"  files         {facts['total_files']:,} ({words.size(facts['total_bytes'])})")
    for state, count in facts["files"].items():
        if count:
            click.echo(f"    {state:<12}{count:>10,}")
    if job.left_out:
        click.echo(f"  left out      {words.counted(job.left_out)}")
    if facts["possibly_twice"]:
        click.echo(f"  perhaps twice {facts['possibly_twice']:,}")
    if run is not None:
        ended = (
            "still marked as running"
            if run.ended_at is None
            else f"ended {run.ended_at:%Y-%m-%d %H:%M:%S} UTC"
        )
        click.echo(f"  last run      {run.id}, pid {run.pid} on {run.host}, {ended}")


@click.group(invoke_without_command=True)
@ledger_options
@click.pass_context
def jobs(context: click.Context, ledger: str | None, as_json: bool) -> None:
    """List all jobs of the ledger.

    Example:  vl-ingest jobs --json
    """
    if context.invoked_subcommand is not None:
        return
    from vl_ingest.cli.display import summary_facts
    from vl_ingest.summary import summarise

    with open_ledger(ledger) as book:
        listed = [summary_facts(summarise(book, job.id)) for job in book.jobs.all()]
    if as_json:
        for facts in listed:
            click.echo(json.dumps(facts))
        return
    if not listed:
        click.echo("There is no job yet. `vl-ingest run FOLDER --name NAME` starts one.")
    for facts in listed:
        sent = f"{facts['files']['sent']:,} of {facts['total_files']:,} sent"
        click.echo(f"{facts['job']}  {facts['state']:<17} {sent:<24} {facts['name']}  <- {facts['source']}")


@click.command()
@click.argument("job_reference", metavar="JOB")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only files in this state.")
@ledger_options
def files(job_reference: str, states: tuple[str, ...], ledger: str | None, as_json: bool) -> None:
    """List the files of a job.

    Example:  vl-ingest files holidays --state rejected
    """
    from vl_ingest.naming import path_to_text

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        for row in book.files.rows(job.id, *map(FileState, states)):
            if as_json:
                facts: dict[str, Any] = {
                    "path": path_to_text(row.path), "sent_as": row.sent_as, "state": row.state,
                    "size_bytes": row.facts.size_bytes, "mtime_ns": row.facts.mtime_ns, "sha256": row.sha256,
                    "possibly_twice": row.state is FileState.SENT and row.unknown_attempts > 0,
                    "reason": row.reason,
                }  # fmt: skip
                click.echo(json.dumps(facts))
            else:
                reason = f"  ({row.reason})" if row.reason else ""
                click.echo(f"{row.state:<10} {row.facts.size_bytes:>12,}  {words.path(row.path)}{reason}")
