"""`status`: where a job stands, once or while a run works on it."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vl_ingest import clock
from vl_ingest.cli.display import Rate
from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import (
    DURATION,
    given,
    ledger_options,
    open_api,
    open_to_read,
    option,
    optional_job_argument,
    server_options,
    show,
)
from vl_ingest.cli.suggest import completed
from vl_ingest.cli.summary import summary_facts
from vl_ingest.domain import words
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.standing import next_step, state_text

if TYPE_CHECKING:
    from vl_ingest.domain.model import Job, Run
    from vl_ingest.ledger import Ledger
    from vl_ingest.ledger.summary import Summary
    from vl_ingest.manage.live import Live

LEAST_INTERVAL_S = 0.1
ROUNDS = 5  # the last ones
MOST_HOSTS = 10  # that are listed for people


@click.command(cls=Command)
@optional_job_argument
@option("--watch", is_flag=True, help="Follow the job's run until it ends.")
@option("--interval", type=DURATION, default="2s", show_default=True, help="How often --watch refreshes.")
@option("--live", is_flag=True, help="Ask the server, too: its status, and its tasks.")
@server_options
@ledger_options
def status(
    job_reference: str | None, watch: bool, interval: float, live: bool, base_url: str, access: dict[str, Any],
    ledger: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show where a job stands.

    JOB is an id or a name; the default is the newest job. --watch follows a run in another terminal until it ends;
    Ctrl-C stops watching, not the run.

    Example:  vl-ingest status holidays --watch
    """
    if live and watch:
        raise UsageError("--live asks the server once: leave out --watch.")
    with open_to_read(ledger, live=watch) as book:
        job = _found(book, job_reference)
        if watch:
            _watch(book, job.id, max(interval, LEAST_INTERVAL_S), as_json=as_json)
        else:
            facts, lines = _seen(book, job.id)
            if live:
                seen = _live(job, base_url if given("base_url") else job.base_url, access)
                facts["live"] = None if seen is None else seen.facts()
                lines += ["  server now    no dataset yet"] if seen is None else seen.lines()
            show(facts, "\n".join(lines), as_json=as_json)


def _found(book: "Ledger", reference: str | None) -> "Job":
    if reference:
        return book.jobs.find(reference)
    known = book.jobs.all()
    if not known:
        raise UsageError("There are no jobs yet. Run `vl-ingest run FOLDER --name NAME` to start one.")
    return known[-1]


def _live(job: "Job", base_url: str, access: dict[str, Any]) -> "Live | None":
    """Return the server's side of a job; None before there is one."""
    from vl_ingest.manage.live import look

    return None if job.dataset_id is None else look(open_api(base_url, access), job.dataset_id)


def _watch(book: "Ledger", job_id: str, interval_s: float, *, as_json: bool) -> None:
    """Show the job again and again until its run is over: in place on a terminal, elsewhere whenever it has changed."""
    from vl_ingest.ledger.reader import asked
    from vl_ingest.ledger.runs import is_alive

    rate, shown, complete = Rate(), None, completed(click.get_current_context())
    with _screen(as_json=as_json) as show:
        while True:
            over = not asked(lambda: is_alive(book.runs.last(job_id)))  # before the last look
            facts, lines = _seen(book, job_id)
            speed = 0.0 if over else rate.now(facts["sent_bytes"])
            if as_json:
                text = json.dumps({**facts, "bytes_per_s": round(speed)})
            else:
                text = complete("\n".join([*lines, *_speed(facts, speed)]))
            if facts != shown or (sys.stdout.isatty() and not as_json):
                show(text)
                shown = facts
            if over:
                return
            threading.Event().wait(interval_s)


def _seen(book: "Ledger", job_id: str) -> tuple[dict[str, Any], list[str]]:
    """Return what programs and what people are shown of a job, all of it of one moment."""
    from vl_ingest.ledger.reader import asked

    def look() -> tuple[dict[str, Any], list[str]]:
        with book.db.snapshot():
            facts = job_facts(book, job_id)
            return facts, _lines(book, job_id, facts)

    return asked(look)


def _speed(facts: dict[str, Any], speed: float) -> list[str]:
    if not speed:
        return []
    left = words.duration(max(0, facts["total_bytes"] - facts["sent_bytes"]) / speed)
    return [f"  speed         {words.size(speed)}/s, {left} left"]


@contextmanager
def _screen(*, as_json: bool) -> Iterator[Callable[[str], None]]:
    if as_json or not sys.stdout.isatty():
        yield click.echo
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        yield lambda text: live.update(Text(text), refresh=True)


def job_facts(book: "Ledger", job_id: str) -> dict[str, Any]:
    """Return what programs are shown of a job."""
    from vl_ingest.ledger.summary import summarise

    summary = summarise(book, job_id)
    hosts = book.events.delivered_from(job_id)
    return {
        **summary_facts(summary),
        "hosts": {host: {"files": files, "bytes": size} for host, (files, size) in hosts.items()},
        **_standing(book, summary),
    }


def _standing(book: "Ledger", summary: "Summary") -> dict[str, Any]:
    """Return where a job stands in people's words, what its run waits for, and what to do next."""
    from vl_ingest.ledger.runs import is_alive

    job, counts = summary.job, summary.counts
    job_id, run = job.id, book.runs.last(job.id)
    at_work = is_alive(run)
    step = next_step(
        job, counts, at_work=at_work, last_exit_code=book.runs.outcome(job_id), missing=summary.missing
    )
    last = book.events.last(job_id)  # a job begins with one
    return {
        "standing": state_text(job, counts, at_work=at_work),
        "running": at_work,
        "last_activity": clock.iso(job.created_at if last is None else last.at),
        "waiting_for": run.waiting_for if run is not None and at_work else None,
        "waiting_since": clock.iso(run.waiting_since) if run is not None and at_work else None,
        "next": step.text,
        "next_commands": list(step.commands),
    }


def _lines(book: "Ledger", job_id: str, facts: dict[str, Any]) -> list[str]:
    """Return what people are shown of a job."""
    job, run = book.jobs.get(job_id), book.runs.last(job_id)
    lines = [
        f"Job {job.id}: {words.path(job.source)} -> {job.name!r} at {job.base_url}",
        f"  state         {facts['standing']}{'' if facts['standing'] in (job.state, job.state.replace('_', ' ')) else f' ({job.state})'}",
        f"  dataset       {job.dataset_id or 'not created yet'}",
        f"  transaction   {job.transaction_id or 'not open yet'}",
        f"  server says   {job.status or 'not asked yet'}{f': {job.message}' if job.message else ''}",
        f"  files         {facts['total_files']:,} ({words.size(facts['total_bytes'])})",
        *(f"    {state:<12}{count:>10,}" for state, count in facts["files"].items() if count),
    ]
    lines += [
        f"  sent from     {host}: {sent['files']:,} files ({words.size(sent['bytes'])})"
        for host, sent in list(facts["hosts"].items())[:MOST_HOSTS]
    ]
    if len(facts["hosts"]) > MOST_HOSTS:
        lines.append(f"  sent from     {len(facts['hosts']) - MOST_HOSTS} more hosts: --json lists them")
    if job.left_out:
        lines.append(f"  left out      {words.counted(job.left_out)}")
    if facts["taken_as_delivered"]:
        lines.append(
            f"  by decision   {facts['taken_as_delivered']:,} of the sent files are taken as delivered"
        )
    if facts["possibly_twice"]:
        told = ", ".join(f"{n:,} {word}" for word, n in facts["doubts"].items() if word.startswith("asked"))
        lines.append(f"  perhaps twice {facts['possibly_twice']:,}{told and f' ({told})'}")
    if facts["listed_at"]:
        asked = f"{facts['listed_at'][:19].replace('T', ' ')} UTC"
        lines.append(
            f"  in dataset    {facts['in_dataset']:,}, {facts['missing_from_dataset']:,} missing, "
            f"{facts['twice_in_dataset']:,} more than once, by the server's own list (asked {asked})"
        )
    for entry in facts["rounds"][-ROUNDS:]:
        known = "" if entry["known_by"] == "receipt" else f", known by {entry['known_by']}"
        lines.append(
            f"  round {entry['number']:<7} {entry['began_at'][:19].replace('T', ' ')} UTC, {files_text(entry['files'])} added, "
            f"{entry['state']}{known}"
        )
    if run is not None:
        number = book.runs.numbers(job.id)[run.id]
        lines.append(
            f"  last run      {number}, pid {run.pid} on {run.host}, {_run_stands(book, run, at_work=facts['running'])}"
        )
    if facts["waiting_for"]:
        lines.append(f"  waiting       {facts['waiting_for']}")
    return [*lines, f"  next          {facts['next']}"]


def _run_stands(book: "Ledger", run: "Run", *, at_work: bool) -> str:
    if run.ended_at is not None:
        end = book.events.last(run.job_id, EventKind.RUN_ENDED)
        how = "" if end is None or end.run_id != run.id else f" with exit code {end.facts.get('exit_code')}"
        return f"ended {run.ended_at:%Y-%m-%d %H:%M:%S} UTC{how}"
    if at_work:
        return "at work"
    heard = words.duration((clock.now() - run.heartbeat_at).total_seconds())
    return f"ended unexpectedly; last heartbeat {heard} ago"
