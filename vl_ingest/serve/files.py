"""The files of a job, a screenful at a time, and what became of one of them."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileRow, FileState
from vl_ingest.ledger import Ledger
from vl_ingest.report.timeline import timeline
from vl_ingest.serve.scenes import Scene, Scenes

A_PAGE = 100
NAMING = tuple(kind for kind in EventKind if "path" in kind.facts.split())
OUTCOMES = {
    "sent": "delivered", "not_delivered": "did not reach the server", "unknown": "answer lost: perhaps delivered",
    "refused": "refused", None: "no answer yet",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Which files are looked at; `after` is where the page before ended."""

    state: FileState | None = None
    text: str = ""
    after: str | None = None

    @classmethod
    def read(cls, state: str, text: str, after: str | None) -> "Wanted":
        """Read it from an address. Raises `UsageError` for a state that there is not, or a wrong place."""
        try:
            wanted = cls(FileState(state) if state else None, text, after)
        except ValueError as exc:
            raise UsageError(f"There is no state {state!r}.") from exc
        place = after or "0"  # by id, or by version and path
        number = place if wanted.state is not None else place.partition(" ")[0]
        if not (number.isascii() and number.isdecimal()):
            raise UsageError(f"No page begins after {after!r}.")
        return wanted

    def query(self, after: str | None = None) -> str:
        """Return it as the query of an address."""
        given = {"state": self.state or "", "q": self.text, "after": after or ""}
        return urlencode({name: value for name, value in given.items() if value})


def _decision(file: FileRow, inferred: set[int]) -> str | None:
    """Return what it rests on that a file is what it is, where that is no receipt; `inferred` are sent by what the server shows."""
    return "inferred from what the server shows" if file.id in inferred else file.decision


def files_scene(scenes: Scenes, job_id: str, wanted: Wanted) -> Scene:
    """Return a page of a job's files. Raises `UsageError` where there is no such job."""

    def look(book: Ledger) -> Scene:
        job = book.jobs.find(job_id)
        counts = scenes.counts(book, job)
        page = book.browse.page(job.id, wanted.state, wanted.text, wanted.after, A_PAGE)
        inferred = book.rounds.inferred_files(job.id, [file.id for file in page.files])
        return Scene(
            "files.html", f"Files of {job.name}", {},
            {
                "decisions": {file.id: _decision(file, inferred) for file in page.files},
                "job": job, "counts": counts, "wanted": wanted, "page": page, "states": [s for s in FileState if counts[s]],
                "following": None if page.after is None else wanted.query(page.after), "first": wanted.query(),
            },
        )  # fmt: skip

    return scenes.reader.ask(look)


def file_scene(scenes: Scenes, job_id: str, file_id: int) -> Scene:
    """Return one file with the attempts that carried it. Raises `UsageError` where there is none."""

    def look(book: Ledger) -> Scene:
        job = book.jobs.find(job_id)
        known = book.browse.file(job.id, file_id)
        if known is None:
            raise UsageError(f"Job {job.id} has no file number {file_id}.")
        file, batch_id, carried = known
        told = list(timeline(book.browse.told_of(job.id, file.path, NAMING), (), book.runs.numbers(job.id)))
        tries = [] if batch_id is None else book.browse.attempts(batch_id)
        modified = file.facts.mtime_ns / 1e9
        inferred = book.rounds.inferred_files(job.id, [file.id])
        return Scene(
            "file.html", file.path.rsplit("/", 1)[-1], {},
            {
                "decision": _decision(file, inferred), "job": job, "file": file, "carried": carried, "tries": tries, "told": told, "outcomes": OUTCOMES,
                "modified": datetime.fromtimestamp(modified, job.created_at.tzinfo),
            },
        )  # fmt: skip

    return scenes.reader.ask(look)
