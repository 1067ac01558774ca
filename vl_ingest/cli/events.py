"""`events`: the history of a job, and following it."""

import difflib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from vl_ingest import clock
from vl_ingest.cli.options import DURATION, job_argument, ledger_options, open_to_read, option, show
from vl_ingest.domain import words
from vl_ingest.domain.errors import UsageError

if TYPE_CHECKING:
    from vl_ingest.domain.model import Event

FOLLOW_EVERY_S = 1.0


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

    from vl_ingest.domain.events import EventKind
    from vl_ingest.domain.model import FINISHED
    from vl_ingest.ledger.runs import is_alive

    earliest = None if since is None else clock.now() - timedelta(seconds=since)
    with open_to_read(ledger, live=follow) as book:
        job = book.jobs.find(job_reference)
        for kind in kinds:  # one that only a newer version knows may be in the ledger all the same
            if EventKind.known(kind) is None and not book.events.count(job.id, kind):
                near = " or ".join(difflib.get_close_matches(kind, list(EventKind)))
                meant = f"Did you mean {near}?" if near else "Without `--kind`, every event is shown."
                raise UsageError(f"There is no kind of event {kind!r}. {meant}")
        seen, over = 0, False
        runs: dict[int, int] = {}
        while True:
            # Before the last look; the end of its run is the last event of a job that is over.
            over = not follow or (
                book.jobs.get(job.id).state in FINISHED and not is_alive(book.runs.last(job.id))
            )
            for event in book.events.history(job.id, *kinds, after=seen):
                seen = event.number
                if event.run_id is not None and event.run_id not in runs:  # one that began while this follows
                    runs = book.runs.numbers(job.id)
                if earliest is None or event.at >= earliest:
                    number = None if event.run_id is None else runs.get(event.run_id)
                    show(_facts(event, number), _line(event, number), as_json=as_json)
            if over:
                return
            threading.Event().wait(FOLLOW_EVERY_S)


def _facts(event: "Event", run_number: int | None) -> dict[str, Any]:
    who = {"run": event.run_id, "host": event.host, "user": event.user}
    what = {"kind": event.kind, "facts": event.facts, "hash": event.hash}
    return {"number": event.number, "at": clock.iso(event.at), **who, **what, "run_number": run_number}


def _line(event: "Event", run_number: int | None) -> str:
    facts = "; ".join(f"{k}: {words.told(v)}" for k, v in event.facts.items() if v not in (None, {}, []))
    text = f"{event.at:%Y-%m-%d %H:%M:%S}  run {run_number or '-':<4} {event.kind:<24} {facts}"
    return words.path(text)
