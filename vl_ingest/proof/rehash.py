"""Are the files on disk still those that were sent? By size and time, or by reading every byte again."""

import hashlib
import itertools
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from vl_ingest.atomic import replacing
from vl_ingest.domain.checks import Check, compared
from vl_ingest.domain.errors import FileTrouble, LedgerError
from vl_ingest.domain.model import FileRow, Job
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.source import Source

PORTION, PORTION_BYTES = 512, 1024**3  # compared between two notes of how far it is
BLOCK_BYTES = 256 * 1024  # read at once
KEPT = 1000  # differing files that are told again when an interrupted comparison goes on


@dataclass
class Rehash:
    """How far the comparison has come; `after_id` is the last file compared, `head` the record it belongs to."""

    head: str | None
    hashed: bool
    after_id: int = 0
    compared: int = 0
    size_bytes: int = 0
    differing: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)  # the first of those, with the reason


def verify_files(
    ledger: Ledger,
    job: Job,
    source: Source,
    *,
    hashed: bool,
    afresh: bool = False,
    differs: Callable[[str, str], None],
    progress: Callable[[Rehash], None],
) -> Check:
    """Return whether the sent files are in the folder `source` as they are on record; see `compare`."""
    if not source.is_there():
        text = f"There is no folder {path_to_text(source.address)}. If it has moved, use `--source PATH`; to skip the files, use `--no-files`."
        return compared("files", False, text)
    ended = compare(ledger, job, source, hashed=hashed, afresh=afresh, differs=differs, progress=progress)
    how = "SHA-256" if hashed else "size and time of change"
    facts = {"compared": ended.compared, "differing": ended.differing, "rehash": hashed}
    if ended.differing:
        text = (
            f"{ended.differing:,} of {files_text(ended.compared)} on disk differ from what was sent ({how})."
        )
        return compared("files", False, text, **facts)
    text = f"{files_text(ended.compared)} on disk, unchanged since sent ({how})."
    return compared("files", True, text, **facts)


def compare(
    ledger: Ledger,
    job: Job,
    source: Source,
    *,
    hashed: bool,
    afresh: bool = False,
    differs: Callable[[str, str], None],
    progress: Callable[[Rehash], None],
) -> Rehash:
    """Compare every sent file of a job with the disk, each in its newest version; return how it ended.

    `differs` is told path and reason of each file that is not what was sent. With `hashed` the bytes are read; an
    interrupted comparison of that kind goes on where it stopped, unless `afresh`. Raises `LedgerError` where the notes
    of how far it is can't be kept.
    """
    notes = _Notes(ledger.db.locks / f"{job.id}.rehash")
    state = Rehash(job.event_head, hashed)
    if hashed and not afresh:
        state = notes.read(state)
    for known in state.found:
        differs(*known)
    pool = ThreadPoolExecutor(os.cpu_count())
    each, compare_one = (pool.map if hashed else map), partial(_difference, source, hashed=hashed)
    try:
        while rows := _portion(ledger.files.in_folder(job.id, state.after_id, PORTION)):
            for file, reason in zip(rows, each(compare_one, rows), strict=True):
                if reason is not None:
                    state.differing += 1
                    state.found += [(file.path, reason)] if len(state.found) < KEPT else []
                    differs(file.path, reason)
                state.compared += 1
                state.size_bytes += file.facts.size_bytes
            state.after_id = rows[-1].id
            if hashed:
                notes.write(state)
            progress(state)
    finally:
        pool.shutdown(cancel_futures=True)
    if hashed:
        notes.remove()
    return state


def _portion(rows: list[FileRow]) -> list[FileRow]:
    """Return the first of `rows`, not many bytes together, but at least one."""
    ends = itertools.accumulate(row.facts.size_bytes for row in rows)
    return rows[: max(1, sum(end <= PORTION_BYTES for end in ends))]


def _difference(source: Source, row: FileRow, *, hashed: bool) -> str | None:
    """Return how a file differs from what was sent, by size and time of change or by its bytes; None: it does not."""
    try:
        seen = source.look(row.path)
        if seen.size_bytes != row.facts.size_bytes:
            return f"has {seen.size_bytes:,} bytes, and had {row.facts.size_bytes:,}"
        if hashed and row.sha256 is not None:  # none is on record where a person called it delivered
            now = _sha256(source, row)
            return None if now == row.sha256 else f"has different bytes (SHA-256 {now}, sent {row.sha256})"
    except FileTrouble as trouble:
        return trouble.reason
    if not row.looks_like(seen):
        return "was modified since (use `--rehash` to compare its bytes)"
    return None


def _sha256(source: Source, row: FileRow) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(row.facts.size_bytes, BLOCK_BYTES)))
    with closing(source.open(row.path)) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


class _Notes:
    """How far a comparison is, beside the ledger: it is no part of the record that is being checked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, fresh: Rehash) -> Rehash:
        """Return the comparison that stopped, if it was of this record; else `fresh`."""
        try:
            noted = Rehash(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # none, or not of this program's making
            return fresh
        return noted if noted.head == fresh.head else fresh

    def write(self, state: Rehash) -> None:
        """Keep how far it is, as a whole."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as new:
                new.write_text(json.dumps(asdict(state)), encoding="utf-8")
        except OSError as exc:
            raise LedgerError(
                f"Can't save the progress of the comparison next to the ledger: {exc}. Make {self._path.parent} "
                "writable, or copy the ledger to a folder that is."
            ) from exc

    def remove(self) -> None:
        """Forget it: the comparison is through."""
        self._path.unlink(missing_ok=True)
