"""`run --dry-run`: the plan of a run, printed; no server is asked and no ledger written."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from vl_ingest import clock
from vl_ingest.cli.options import open_to_read, open_tokens, show
from vl_ingest.domain import words
from vl_ingest.domain.errors import FilesHeld, VlIngestError
from vl_ingest.domain.model import FINISHED, JobState
from vl_ingest.domain.naming import files_text, path_to_text

if TYPE_CHECKING:
    from vl_ingest.domain.settings import Settings
    from vl_ingest.ledger import Ledger
    from vl_ingest.upload.preview import Preview

NAMED = 20  # doubtful files that people are told by name; with --json it is all of them


def dry_run(
    source: str, name: str, settings: "Settings", *, base_url: str, access: dict[str, Any], new: bool, new_transaction: bool,
    place: str | None, rate: float | None, as_json: bool,
) -> int:  # fmt: skip
    """Print the plan; return 0, or raise `FilesHeld` where a run would stumble."""
    from vl_ingest.source.addresses import existing_source
    from vl_ingest.upload.preview import WRONG_TYPE, Previewer
    from vl_ingest.upload.steps import nothing_to_send

    folder = existing_source(source)
    with _known_ledger(place) as ledger:
        job = None
        if ledger is not None:
            job = ledger.jobs.find_by_identity(folder.address, name, base_url, new=new)
        previewer = Previewer(folder, settings, ledger, job, base_url, new_transaction=new_transaction)
        plan, named = previewer.plan, 0
        if not as_json:
            click.echo(f"Plan for {words.path(folder.address)} -> {name!r} at {base_url}; nothing is sent.")
        with _progress(shown=not as_json) as progress:
            for doubt in previewer.doubts(progress):
                named += 1
                if as_json or named <= NAMED:
                    text = f"  {words.path(doubt.path)}: {doubt.state.replace('_', ' ')}: {doubt.reason}"
                    facts = {"path": path_to_text(doubt.path), "state": doubt.state, "reason": doubt.reason}
                    show({"type": "file_error", **facts}, text, as_json=as_json)
    if named > NAMED and not as_json:
        click.echo(f"  ... and {files_text(named - NAMED)} more; `--json` lists all.")
    taken: list[str] | None = []
    try:
        if plan.job is None or plan.job.state is JobState.CREATED:
            taken = _same_name(name, base_url, access)
        said = f"by {', '.join(taken)}: a run makes another dataset of that name" if taken else None
    except VlIngestError as exc:  # a plan needs no server
        taken = None
        said = f"not known, as the server can't be asked: {words.clause(exc)}"
    if said and not as_json:
        click.echo(f"  name taken    {said}")
    facts = {"same_name": taken} | _facts(plan, settings, name, folder.address, base_url, rate)
    show(facts, "\n".join(_lines(plan, settings, rate)), as_json=as_json)
    if plan.is_empty(settings):
        raise nothing_to_send(folder.address, plan.left_out, sent=plan.sent)
    if plan.holds(settings) and plan.adds:
        raise FilesHeld(
            "A run would add the others, and end with 3 until these are fixed, waived, or excluded with --exclude."
        )
    if plan.holds(settings):
        first = "A run would send the others, and start" if plan.files else "A run would start"
        unless = "; the server may accept those of a wrong type" if plan.doubts[WRONG_TYPE] else ""
        raise FilesHeld(
            f"{first} processing only after these are fixed, waived, or excluded with --exclude{unless}."
        )
    return 0


def _same_name(name: str, base_url: str, access: dict[str, Any]) -> list[str]:
    """Return the server's datasets of that name; without credentials, none. Raises `VlIngestError` where it can't be asked at once."""
    from vl_ingest.server.optional import Extras

    try:
        tokens = open_tokens(base_url, access)
    except VlIngestError:  # a plan needs none, and a run says what is missing
        return []
    extras = Extras(base_url, tokens, connect_timeout_s=3.0, read_timeout_s=10.0)
    return [dataset.id for dataset in extras.datasets() if dataset.name == name]


@contextmanager
def _known_ledger(place: str | None) -> "Iterator[Ledger | None]":
    """Open the ledger to read only, if there is one."""
    from vl_ingest.ledger import is_missing
    from vl_ingest.ledger.database import default_path

    with nullcontext() if is_missing(place or default_path()) else open_to_read(place) as ledger:
        yield ledger


@contextmanager
def _progress(*, shown: bool) -> "Iterator[Callable[[Preview], None]]":
    """Show how far the look at the files is, on a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda _plan: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console, spinner = Console(stderr=True), Spinner("dots", "Looking at the files ...")
    # What is printed meanwhile goes above it on a terminal, and into a file otherwise.
    with Live(spinner, console=console, transient=True, redirect_stdout=sys.stdout.isatty()):
        yield lambda plan: spinner.update(
            text=f"Looking at the files: {plan.found:,} so far, {words.size(plan.found_bytes)}"
        )


def _rate(plan: "Preview", settings: "Settings", given: float | None) -> tuple[float, str]:
    """Return bytes a second, and whose figure that is; --bwlimit is as it stands at this hour."""
    from vl_ingest.domain.timetable import Timetable
    from vl_ingest.upload.preview import ASSUMED_BYTES_PER_S

    limit = Timetable(settings.bwlimit).rate(clock.local())
    if given is not None:
        rate, whose = given, "given"
    elif plan.earlier is not None:
        rate, whose = plan.earlier.bytes_per_s, "measured"
    else:
        rate, whose = ASSUMED_BYTES_PER_S, "assumed"
    return (rate, whose) if limit is None or rate <= limit else (limit, "limited")


def _lines(plan: "Preview", settings: "Settings", rate: float | None) -> "Iterator[str]":
    """Return the plan for people."""
    if plan.job is not None:
        stands = "adds to" if plan.adds else "finished" if plan.job.state in FINISHED else "continues"
        yield f"  {stands:<13} job {plan.job.id}"
    yield f"  found         {files_text(plan.found)}, {words.size(plan.found_bytes)}"
    if plan.settled:
        yield f"  settled       {files_text(plan.settled)}, sent or waived"
    yield f"  to send       {files_text(plan.files)}, {words.size(plan.size_bytes)}"
    if plan.files:
        more = " or a few more (the last ones are smaller)" if plan.files > 1 and not plan.adds else ""
        yield f"  batches       {words.several(plan.batches, 'addition' if plan.adds else 'request')}{more}"
        speed, whose = _rate(plan, settings, rate)
        origin = {
            "given": "",
            "limited": ", the current --bwlimit",
            "measured": f", the rate of run {plan.earlier.run_number} of job {plan.earlier.job_id}"
            if plan.earlier
            else "",
            "assumed": " (a guess: nothing has been measured yet; set it with `--rate`)",
        }[whose]
        yield f"  takes         {words.duration(plan.size_bytes / speed)} at {words.size(speed)}/s{origin}"
    yield from _changed(plan)
    if plan.renamed:
        yield f"  renamed       {files_text(plan.renamed)} with the same name as another:"
        yield from (f"    {words.path(path)} is sent as {name}" for path, name in plan.clashes)
        if plan.renamed > len(plan.clashes):
            yield f"    ... and {plan.renamed - len(plan.clashes):,} more"
    yield from (f"  filters       {text}" for text in plan.choice.sentences())
    if plan.left_out:
        yield f"  left out      {words.counted(plan.left_out)}"
    if plan.late:
        yield f"  too late      {files_text(plan.late)}: new, or let in by other filters, after processing was started; `--add` adds them, `--new` sends them to another dataset"
    if plan.doubts:
        reasons = {what.replace("_", " "): count for what, count in plan.doubts.items()}
        yield f"  in doubt      {words.counted(reasons)}"
    if plan.gone:
        yield f"  gone          {files_text(plan.gone)}: in the ledger, but not in the folder"
    if plan.vanished:
        yield "  vanished      the folder has no files to send any more: is its disk mounted?"
    if plan.list_lost:
        yield f"  list          --files-from names no file any more; if nothing more is to be sent: {os.devnull}"
    if plan.unread:
        yield f"  unreadable    folders: {', '.join(plan.unread[:NAMED])}"


def _changed(plan: "Preview") -> "Iterator[str]":
    """Yield what becomes of files that were changed after they were sent."""
    if plan.anew or plan.touched:
        touched = f"; {files_text(plan.touched)} only touched, and not sent" if plan.touched else ""
        yield f"  changed       {files_text(plan.anew)} of these, sent before and changed since{touched}"
    if plan.held:
        yield f"  left alone    {files_text(plan.held)}, changed after being sent; `--changed send` adds the new versions"


def _facts(
    plan: "Preview", settings: "Settings", name: str, source: str, base_url: str, rate: float | None
) -> dict[str, Any]:
    """Return the plan for programs."""
    speed, whose = _rate(plan, settings, rate)
    return {
        "type": "plan", "job": plan.job and plan.job.id, "state": plan.job and plan.job.state, "name": name,
        "source": path_to_text(source), "base_url": base_url, "found": plan.found, "found_bytes": plan.found_bytes,
        "files": plan.files, "bytes": plan.size_bytes, "batches": plan.batches, "settled": plan.settled,
        "filtered_out": dict(plan.choice.out), "let_in": dict(plan.choice.in_again),
        "sent_but_left_out": plan.choice.sent_left_out, "vanished": plan.vanished, "list_lost": plan.list_lost,
        "mistaken": plan.mistaken,
        "gone": plan.gone, "late": plan.late, "doubts": dict(plan.doubts), "renamed": plan.renamed,
        "clashes": [{"path": path, "sent_as": sent_as} for path, sent_as in plan.clashes],
        "left_out": dict(plan.left_out), "unread": plan.unread, "bytes_per_s": round(speed), "rate_is": whose,
        "duration_s": round(plan.size_bytes / speed, 1), "holds": plan.holds(settings),
        "adds": plan.adds, "sent_anew": plan.anew, "changed_and_held": plan.held, "touched": plan.touched,
    }  # fmt: skip
