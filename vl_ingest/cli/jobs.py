"""`jobs`, `jobs prune` and `export`: the jobs of a ledger, listed, taken out, kept elsewhere."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from vl_ingest import clock
from vl_ingest.cli.confirm import confirm, yes_option
from vl_ingest.cli.layout import Command, Group
from vl_ingest.cli.options import (
    DURATION,
    NAME,
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
from vl_ingest.domain.model import FINISHED

HEADER = ("JOB", "NAME", "STATE", "SENT", "LAST ACTIVITY (UTC)", "RUNNING", "FOLDER")
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group, invoke_without_command=True)
@option("--unfinished", is_flag=True, help="Only unfinished jobs.")
@option("--name", type=NAME, help="Only jobs with this name.")
@ledger_options
@click.pass_context
def jobs(
    context: click.Context, unfinished: bool, name: str | None, ledger: str | None, as_json: bool
) -> None:
    """List the jobs of the ledger, oldest first.

    Example:  vl-ingest jobs --unfinished
    """
    if context.invoked_subcommand is not None:
        if given(*context.params):
            raise UsageError(f"Write the options after `{context.invoked_subcommand}`, which has its own.")
        return
    from vl_ingest.cli.status import job_facts

    with open_to_read(ledger) as book, book.db.snapshot():
        chosen = [
            job
            for job in book.jobs.all()
            if name in (None, job.name) and not (unfinished and job.state in FINISHED)
        ]
        listed = [job_facts(book, job.id) for job in chosen]
    if not listed and not as_json:
        click.echo(
            "No matching job."
            if name or unfinished
            else "There are no jobs yet. Run `vl-ingest run FOLDER --name NAME` to start one."
        )
    if as_json:
        for facts in listed:
            show(facts, "", as_json=True)
    elif listed:
        click.echo("\n".join(_table([HEADER, *map(_row, listed)])))


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    sent = f"{facts['files']['sent']:,} of {facts['total_files']:,}"
    last = facts["last_activity"][:19].replace("T", " ")
    running = "waiting" if facts["waiting_for"] else "yes" if facts["running"] else "no"
    return facts["job"], words.path(facts["name"]), facts["standing"], sent, last, running, facts["source"]


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return lines whose columns stand under each other; the last one is as wide as it is."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


@jobs.command()
@option(
    "--older-than", type=DURATION, required=True, help="Only jobs finished at least this long ago: `90d`."
)
@option("--keep-in", type=FOLDER, help="Export each job into this folder first.")
@option("--dry-run", is_flag=True, help="Only list the jobs.")
@yes_option
@ledger_options
def prune(
    older_than: float, keep_in: Path | None, dry_run: bool, yes: bool, ledger: str | None, as_json: bool
) -> None:
    """Remove finished jobs from the ledger.

    Datasets on the server stay as they are. Without --keep-in, the proof of what was sent is lost. Running the same
    `run` again would send the folder to a new dataset.

    Example:  vl-ingest jobs prune --older-than 90d --keep-in archive
    """
    from vl_ingest.manage import retention

    with open_ledger(ledger) as book:
        chosen = retention.prunable(book, clock.now() - timedelta(seconds=older_than))
        if chosen and not dry_run:
            lost = "" if keep_in is not None else ", and with them the proof of what was sent"
            confirm(
                f"Remove {words.several(len(chosen), 'job')} from the ledger{lost}?",
                yes,
                needed=keep_in is None,
            )
        for job in chosen:
            if not dry_run:
                retention.prune(book, job, keep_in)
            over = f", {job.state} since {job.finished_at:%Y-%m-%d}" if job.finished_at else ""
            kept = "" if keep_in is None or dry_run else f" It is kept in {retention.kept_in(keep_in, job)}."
            text = f"{'Would remove' if dry_run else 'Removed'} job {job.id} ({job.name}{over}).{kept}"
            facts = {"type": "pruned", "job": job.id, "name": job.name, "dry_run": dry_run}
            show(facts, text, as_json=as_json)
        if chosen and not dry_run:
            book.retention.compact()
            if not as_json:
                click.echo("Running the same `vl-ingest run` again would send its folder to a new dataset.")
    if not chosen and not as_json:
        click.echo("No job finished that long ago.")


@click.command(cls=Command)
@job_argument
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@ledger_options
def export(job_reference: str, target: Path, ledger: str | None, as_json: bool) -> None:
    """Write one job to its own file.

    Every command reads it as a ledger with --ledger FILE. No run may be working on the job.

    Example:  vl-ingest export holidays holidays.db
    """
    from vl_ingest.manage import retention

    with open_ledger(ledger) as book:
        job = book.jobs.find(job_reference)
        retention.export(book, job, target)
    text = f"Wrote job {job.id} to {target}. Run `vl-ingest verify {job.id} --ledger {target}` to check it there."
    show({"type": "summary", "job": job.id, "file": str(target)}, text, as_json=as_json)
