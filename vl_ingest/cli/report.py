"""`report`: what was sent, for people, for programs, and on paper."""

import sys
from pathlib import Path

import click

from vl_ingest.cli.layout import Command
from vl_ingest.cli.options import job_argument, ledger_options, open_to_read, option
from vl_ingest.domain.naming import path_to_text
from vl_ingest.report import FORMATS

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Command)
@job_argument
@option("--format", "form", type=click.Choice(FORMATS), help="[default: by the name of --output, else text]")
@option("--output", type=FILE, help="Write to this file instead of standard output.")
@ledger_options
def report(
    job_reference: str, form: str | None, output: Path | None, ledger: str | None, as_json: bool
) -> None:
    """Report what was sent, from the ledger alone.

    Example:  vl-ingest report holidays --output holidays.html
    """
    from vl_ingest.report.write import format_of, write, write_file

    named = format_of(form, output)
    chosen = "json" if as_json and form is None else named
    with open_to_read(ledger) as book:
        job_id = book.jobs.find(job_reference).id
        if output is None:
            write(book, job_id, chosen, sys.stdout, on_one_line=as_json)
        else:
            write_file(book, job_id, chosen, output)
            click.echo(f"Wrote the report on job {job_id} to {path_to_text(str(output))}.", err=True)
