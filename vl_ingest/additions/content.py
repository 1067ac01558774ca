"""New files whose content is in the dataset already, under another path: by size first, and then by SHA-256."""

from collections.abc import Iterable

from vl_ingest.domain import words
from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.model import FileRow
from vl_ingest.domain.naming import files_text
from vl_ingest.run.context import Context
from vl_ingest.source.hashing import hash_of

TOGETHER = 1000  # files that are compared at once
NAMED = 3  # in one sentence


def skip_known(context: Context) -> None:
    """Waive the files that wait to be added and whose content was sent before (`--skip-known-content`)."""
    after_id, skipped = 0, 0
    source, check = context.source, context.cancel_token.raise_if_cancelled
    while rows := context.ledger.files.pending(context.job.id, after_id, TOGETHER):
        after_id = rows[-1].id
        context.check_may_continue()
        sent = context.ledger.files.sent_content(context.job.id, {row.facts.size_bytes for row in rows})
        sizes = {size for size, _ in sent}
        known: list[tuple[FileRow, str]] = []
        for row in rows:
            if row.facts.size_bytes not in sizes:
                continue
            try:
                seen = source.look(row.path)
                path = sent.get((seen.size_bytes, hash_of(source, row.path, seen, check)))
            except FileTrouble:  # its turn will tell
                continue
            if path not in (None, row.path):  # its own earlier content was replaced in the folder
                known.append((row, f"same content as {words.path(path)}"))
        if known:
            context.ledger.decisions.waive_known(context.run, known, "--skip-known-content")
            skipped += len(known)
    if skipped:
        context.observer.notice(
            "step", f"{files_text(skipped)} left out: the same content is in the dataset already."
        )


def tell_known(context: Context, added: Iterable[tuple[FileRow, str]]) -> None:
    """Say which of the files that were just added, each with its hash, have content that was sent before."""
    hashes = list(added)
    sent = context.ledger.files.sent_content(
        context.job.id, {row.facts.size_bytes for row, _ in hashes}, besides={row.id for row, _ in hashes}
    )
    twins = [(row.path, sent.get((row.facts.size_bytes, sha256))) for row, sha256 in hashes]
    known = [f"{words.path(path)} as {words.path(twin)}" for path, twin in twins if twin not in (None, path)]
    if known:
        more = f" and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
        context.observer.notice(
            "step",
            f"Added with content that was sent before: {', '.join(known[:NAMED])}{more}. Use `--skip-known-content` to leave "
            "such files out.",
        )
