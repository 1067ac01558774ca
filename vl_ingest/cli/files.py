"""`files`: the files of a job, and what became of each."""

from itertools import chain
from typing import Any

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import job_argument, ledger_options, open_to_read, option, show
from vl_ingest.domain import words
from vl_ingest.domain.model import Delivery, FileState
from vl_ingest.domain.naming import path_to_text


class States(click.Choice[str]):
    """One state, or several with commas between."""

    def __init__(self) -> None:
        super().__init__([str(state) for state in FileState])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the states as a tuple."""
        words_given = value.split(",") if isinstance(value, str) else value
        return tuple(super(States, self).convert(word.strip(), param, ctx) for word in words_given)


@click.command(cls=Command)
@job_argument
@option(
    "--state",
    "states",
    type=States(),
    multiple=True,
    metavar="STATE,...",
    help=f"Only files in these states: {', '.join(FileState)}.",
)
@ledger_options
def files(job_reference: str, states: tuple[tuple[str, ...], ...], ledger: str | None, as_json: bool) -> None:
    """List the files of a job, and who waived which and why.

    Example:  vl-ingest files holidays --state rejected,missing
    """
    with open_to_read(ledger) as book:
        job = book.jobs.find(job_reference)
        inferred = book.rounds.inferred_files(job.id)
        for row in book.files.rows(job.id, *map(FileState, chain(*states))):
            facts = {
                "path": path_to_text(row.path),
                "sent_as": row.sent_as,
                "state": row.state,
                "size_bytes": row.facts.size_bytes,
                "mtime_ns": row.facts.mtime_ns,
                "sha256": row.sha256,
                "possibly_twice": row.possibly_twice,
                "reason": row.reason,
                "decided_by": row.decided_by,
                "decided_why": row.decided_why,
                "delivery": Delivery.INFERRED if row.id in inferred else row.delivery,
                "in_dataset": row.in_dataset,
                "media_id": row.media_id,
                "version": row.version,
            }
            told = [
                f"version {row.version}" if row.version > 1 else None,
                row.reason,
                None if row.id in inferred else row.decision,
                row.doubt,
            ]
            reasons = "; ".join(filter(None, told))
            more = f"  ({reasons})" if reasons else ""
            text = f"{row.state:<10} {row.facts.size_bytes:>12,}  {words.path(row.path)}{more}"
            show(facts, text, as_json=as_json)
