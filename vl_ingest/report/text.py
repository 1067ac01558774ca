"""The report for a terminal: what fits one screen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vl_ingest.domain.naming import files_text
from vl_ingest.domain.remote import doubt
from vl_ingest.domain.rounds import FIRST
from vl_ingest.domain.words import lasted, several
from vl_ingest.report.story import Report, listed_text

MOMENTS, EXCEPTIONS = 8, 6


def to_text(report: Report) -> str:
    """Return about twenty lines."""
    facts = report.facts
    job, totals, remote, chain = facts["job"], facts["totals"], facts["remote"], facts["chain"]
    timing = facts["timing"]
    failed = sum(facts["throughput"]["failed_attempts"])
    lines = [
        facts["verdict"],
        "",
        f"  job          {job['id']}  {job['name']!r}",
        f"  folder       {job['source']}",
        f"  server       {job['base_url']}",
        f"  dataset      {remote['dataset_id'] or '-'}, transaction {remote['transaction_id'] or '-'}",
        f"  status       {remote['status'] or '-'}",
        *(
            [f"  possibly ours {', '.join(remote['orphans'])} (empty; neither used nor deleted)"]
            if remote["orphans"]
            else []
        ),
        f"  took         {lasted(timing['elapsed_s'])}; at work {report.timing}",
        f"  files        {totals['files']:,}: {report.summary.in_words()}",
        f"  in dataset   {listed_text(report.summary)}",
        f"  in doubt     {totals['possibly_twice']:,} {report.summary.doubt_in_words()}; {totals['changed_after']:,} changed after being sent",
        f"  batches      {len(facts['batches']):,}, {several(failed, 'attempt')} failed, {several(len(facts['runs']), 'run')}",
        *_rounds(facts["rounds"]),
        f"  record       {chain['events']} events, head {chain['head']}",
        "",
        *_some(
            [f"  {m['at'][:19].replace('T', ' ')}  {m['text']}" for m in facts["timeline"]],
            MOMENTS,
            last=True,
        ),
    ]
    exceptions = [f"  {named(row)}: {_why(row)}" for row in facts["exceptions"]]
    if exceptions:
        lines += ["", "Exceptions:", *_some(exceptions, EXCEPTIONS, last=False)]
    return "\n".join(lines)


def _rounds(rounds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line a round, where there is more than the upload."""
    for entry in rounds[1:] and rounds:
        what = "upload" if entry["number"] == FIRST else "addition"
        end = f", {entry['state']}" + (f": {entry['message']}" if entry["message"] else "")
        known = "" if entry["known_by"] in (None, "receipt") else f", known by {entry['known_by']}"
        at = entry["began_at"][:19].replace("T", " ")
        yield f"  round {entry['number']:<6} {at}  {what} of {files_text(entry['files'])}{end}{known}"


def _some(lines: list[str], most: int, *, last: bool) -> list[str]:
    """Return the first or the last few lines, and say that there are more."""
    if len(lines) <= most:
        return lines
    more = f"  ... {len(lines) - most:,} more (use `--format html` or `json` for all)"
    return [more, *lines[-most:]] if last else [*lines[:most], more]


def _why(row: Mapping[str, Any]) -> str:
    why = "; ".join(reasons(row))
    if why.startswith(row["state"]):  # `waived by ann` says both
        return why
    return f"{row['state']}, {why}" if why else str(row["state"])


def named(row: Mapping[str, Any]) -> str:
    """Return a file's path, with the version where that is not the first."""
    return f"{row['path']} (version {row['version']})" if row["version"] > 1 else str(row["path"])


def reasons(row: Mapping[str, Any]) -> list[str]:
    """Return why a file is an exception, in words."""
    told = doubt(possibly_twice=row["possibly_twice"], in_dataset=row["in_dataset"])
    return list(filter(None, (row["reason"], told)))
