"""A report in one of its formats, to a stream or a file."""

import json
from pathlib import Path
from typing import IO

from vl_ingest.atomic import replacing
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.report import FORMATS, NEEDS


def format_of(form: str | None, output: Path | None) -> str:
    """Return the format that is named, or that of the file by its name. Raises `UsageError` where it names none."""
    by_name = output.suffix.lower().removeprefix(".") if output is not None else ""
    if by_name not in ("", "txt", *FORMATS) and form is None:
        raise UsageError(
            f"Unknown report format .{by_name}: choose one with --format ({', '.join(FORMATS)})."
        )
    return form or (by_name if by_name in FORMATS else "text")


def write_file(ledger: Ledger, job_id: str, form: str, output: Path) -> None:
    """Write the report to a file, whole or not at all. Raises `UsageError` if it can't be written."""
    try:
        with replacing(output) as new, new.open("w", encoding="utf-8", newline="") as out:
            write(ledger, job_id, form, out)
    except OSError as exc:
        raise UsageError(f"Can't write {path_to_text(str(output))}: {exc.strerror or exc}.") from exc


def write(ledger: Ledger, job_id: str, form: str, out: IO[str], *, on_one_line: bool = False) -> None:
    """Write the report in one of `FORMATS`, JSON for people to read too or `on_one_line`.

    Raises `UsageError` where packages for the page are missing.
    """
    if form == "csv":
        from vl_ingest.report.table import write_csv

        with ledger.db.snapshot():
            write_csv(ledger, job_id, out)
        return
    from vl_ingest.report.story import build

    story = build(ledger, job_id)
    if form == "json":
        out.write(json.dumps(story.facts, indent=None if on_one_line else 2) + "\n")
    elif form == "html":
        try:
            from vl_ingest.report.page import to_html
        except ImportError as exc:
            raise UsageError(f"{NEEDS} ({exc})") from exc
        out.write(to_html(ledger, story))
    else:
        from vl_ingest.report.text import to_text

        out.write(to_text(story) + "\n")
