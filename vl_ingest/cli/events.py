"""`events`: the history of a job, and following it."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from vl_ingest import clock
from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import DURATION, job_argument, ledger_options, open_to_read, option, show
from vl_ingest.domain import words

if TYPE_CHECKING:
    from vl_ingest.domain.model import Event


@click.command(cls=Command)
@job_argument
@option(
    "--kind", "told", multiple=True, metavar="KIND,...", help="Only events of these kinds; may be repeated."
)
@option("--since", type=DURATION, help="Only events this recent: `2h`, `3d`.")
@option("--follow", is_flag=True, help="Keep showing new events until the job is over.")
@ledger_options
def events(
    job_reference: str, told: tuple[str, ...], since: float | None, follow: bool, ledger: str | None, as_json: bool
) -> None:  # fmt: skip
    """Show the history of a job, oldest first.

    Example:  vl-ingest events holidays --kind batch_sent --since 2h
    """
    from vl_ingest.ledger.reader import asked
    from vl_ingest.report.history import check_kinds, history

    kinds = [kind.strip() for kinds in told for kind in kinds.split(",")]
    earliest = None if since is None else clock.now() - timedelta(seconds=since)
    with open_to_read(ledger, live=follow) as book:
        job = book.jobs.find(job_reference)
        check_kinds(book, job, kinds)
        runs: dict[int, int] = {}
        for event in history(book, job, kinds, earliest, follow=follow):
            if event.run_id is not None and event.run_id not in runs:  # one that began while this follows
                runs = asked(lambda: book.runs.numbers(job.id))
            number = None if event.run_id is None else runs.get(event.run_id)
            show(_facts(event, number), _line(event, number), as_json=as_json)


def _facts(event: "Event", run_number: int | None) -> dict[str, Any]:
    who = {"run": event.run_id, "host": event.host, "user": event.user}
    what = {"kind": event.kind, "facts": event.facts, "hash": event.hash}
    return {"number": event.number, "at": clock.iso(event.at), **who, **what, "run_number": run_number}


def _line(event: "Event", run_number: int | None) -> str:
    facts = "; ".join(f"{k}: {words.told(v)}" for k, v in event.facts.items() if v not in (None, {}, []))
    text = f"{event.at:%Y-%m-%d %H:%M:%S}  run {run_number or '-':<4} {event.kind:<24} {facts}"
    return words.path(text)
