"""`report`: what was sent, for people, for programs, and on paper."""

import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from vl_ingest.atomic import replacing
from vl_ingest.cli.options import job_argument, ledger_options, open_to_read, option
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.naming import path_to_text
from vl_ingest.report import NEEDS

if TYPE_CHECKING:
    from vl_ingest.ledger import Ledger

FILE = click.Path(dir_okay=False, path_type=Path)
FORMATS = ("text", "json", "csv", "html")


@click.command()
@job_argument
@option("--format", "form", type=click.Choice(FORMATS), help="[default: by the name of --output, else text]")
@option("--output", type=FILE, help="A file, instead of standard output.")
@ledger_options
def report(
    job_reference: str, form: str | None, output: Path | None, ledger: str | None, as_json: bool
) -> None:
    """Tell what was sent, from the ledger alone.

    Example:  vl-ingest report holidays --output holidays.html
    """
    by_name = output.suffix.lower().removeprefix(".") if output is not None else ""
    if by_name not in ("", "txt", *FORMATS) and form is None:
        raise UsageError(
            f"No format goes by the ending .{by_name}: name one with --format ({', '.join(FORMATS)})."
        )
    chosen = form or ("json" if as_json else by_name if by_name in FORMATS else "text")
    with open_to_read(ledger) as book:
        job_id = book.jobs.find(job_reference).id
        if output is None:
            _write(book, job_id, chosen, sys.stdout)
        else:
            try:
                with replacing(output) as new, new.open("x", encoding="utf-8", newline="") as out:
                    _write(book, job_id, chosen, out)
            except OSError as exc:
                raise UsageError(f"Can't write {path_to_text(str(output))}: {exc.strerror or exc}.") from exc
            click.echo(f"The report on job {job_id} is in {path_to_text(str(output))}.", err=True)


def _write(book: "Ledger", job_id: str, form: str, out: IO[str]) -> None:
    if form == "csv":
        from vl_ingest.report.table import write_csv

        with book.db.snapshot():
            write_csv(book, job_id, out)
        return
    from vl_ingest.report.story import build

    story = build(book, job_id)
    if form == "json":
        out.write(json.dumps(story.facts, indent=2) + "\n")
    elif form == "html":
        try:
            from vl_ingest.report.page import to_html
        except ImportError as exc:
            raise UsageError(f"{NEEDS} ({exc})") from exc
        out.write(to_html(book, story))
    else:
        from vl_ingest.report.text import to_text

        out.write(to_text(story) + "\n")
