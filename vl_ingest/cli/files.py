"""`files`: the files of a job, and what became of each."""

import click

from vl_ingest.cli.options import job_argument, ledger_options, open_to_read, option, show
from vl_ingest.domain import words
from vl_ingest.domain.model import FileState
from vl_ingest.domain.naming import path_to_text

STATES = [str(state) for state in FileState]


@click.command()
@job_argument
@option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only files in this state.")
@ledger_options
def files(job_reference: str, states: tuple[str, ...], ledger: str | None, as_json: bool) -> None:
    """List the files of a job.

    Example:  vl-ingest files holidays --state rejected
    """
    with open_to_read(ledger) as book:
        job = book.jobs.find(job_reference)
        for row in book.files.rows(job.id, *map(FileState, states)):
            facts = {
                "path": path_to_text(row.path),
                "sent_as": row.sent_as,
                "state": row.state,
                "size_bytes": row.facts.size_bytes,
                "mtime_ns": row.facts.mtime_ns,
                "sha256": row.sha256,
                "possibly_twice": row.state is FileState.SENT and row.unknown_attempts > 0,
                "reason": row.reason,
            }
            reason = f"  ({row.reason})" if row.reason else ""
            text = f"{row.state:<10} {row.facts.size_bytes:>12,}  {words.path(row.path)}{reason}"
            show(facts, text, as_json=as_json)
