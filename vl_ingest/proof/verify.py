"""Does the record hold together? Each check has a name, an answer, and a sentence that a person can act on.

What the ledger says of itself is checked without the folder and without the server (`verify_record`); then the files on
disk (`verify_files`) and the dataset (`verify_server`) can be held against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, compared
from vl_ingest.domain.errors import Denied
from vl_ingest.domain.events import STARTED_AGAIN, EventKind
from vl_ingest.domain.model import TRIGGERED, Event, FileState, Job, JobState
from vl_ingest.domain.naming import files_text
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.chain import event_hash, rows_digest
from vl_ingest.proof.added import Added
from vl_ingest.proof.replay import Replay
from vl_ingest.proof.waivers import Waivers

if TYPE_CHECKING:  # most checks need no HTTP
    from vl_ingest.server.api import Api

MENTIONED = 5  # examples in one sentence


@dataclass
class _Story:
    """What the events say, gathered in one pass."""

    receipts: dict[int, Event] = field(default_factory=dict)  # batch -> its receipt
    settled: set[str] = field(default_factory=set)  # paths that a person called delivered
    waivers: Waivers = field(default_factory=Waivers)
    finished: Event | None = None  # the last `upload_finished`
    dataset_id: str | None = None
    transaction_id: str | None = None
    begun: int = 0  # times that processing began
    failed: int = 0
    again: int = 0  # times that it was started again
    intended: int = 0
    added: Added = field(default_factory=Added)
    scanned_since: bool = False  # whether the folder was looked at again after the upload
    listed: Event | None = None  # the last `dataset_listed`
    rows: Replay = field(default_factory=Replay)

    def tell(self, event: Event) -> None:
        """Take up one event."""
        facts, kind = event.facts, EventKind.known(event.kind)
        self.rows.tell(event)
        self.waivers.tell(event)
        self.added.tell(event, self.receipts)
        if kind is not None and kind.job_state(facts) is JobState.PROCESSING:
            self.again += kind in STARTED_AGAIN
            self.begun += kind not in {*STARTED_AGAIN, EventKind.ROUND_TAKEN_UP}
        match kind:
            case EventKind.BATCH_SENT:
                self.receipts[facts["batch"]] = event
            case EventKind.SCAN_FINISHED:
                self.scanned_since = self.begun > 0
            case EventKind.UNKNOWN_SETTLED if facts["state"] == FileState.SENT:
                self.settled.add(facts["path"])
            case EventKind.DATASET_CREATED:
                self.dataset_id = facts["dataset_id"]
            case EventKind.TRANSACTION_OPENED:
                self.transaction_id = facts["transaction_id"]
            case EventKind.TRANSACTION_GIVEN_UP:  # what was sent into it is sent again
                self.receipts.clear()
                self.settled.clear()
                self.transaction_id = self.finished = None
            case EventKind.UPLOAD_FINISHED:
                self.finished = event
            case EventKind.UPLOAD_RESUMED:
                self.finished = None
            case EventKind.TRIGGER_INTENDED:
                self.intended += 1
            case EventKind.JOB_ERRORED:
                self.failed += 1
            case EventKind.DATASET_LISTED:
                self.listed = event


def verify_record(ledger: Ledger, job_id: str, head: str | None = None) -> Iterator[Check]:
    """Yield the checks of a job's record; with `head`, also whether the chain still holds that hash."""
    with ledger.db.snapshot():
        job = ledger.jobs.get(job_id)
        story = _Story()
        yield from _events(ledger, job, story, head)
        yield _receipts(ledger, job, story)
        yield _totals(ledger, job, story)
        yield _processing(job, story)
        yield _agreed("job", story.rows.job_differs(ledger, job), "The job, its options and its runs")
        differing = story.rows.requests_differ(ledger, job.id) + story.rows.rounds_differ(ledger, job.id)
        differing += _listed(ledger, job, story)
        yield _agreed("requests", differing, "Batches, attempts, reasons and the server's list")


def _events(ledger: Ledger, job: Job, story: _Story, head: str | None) -> Iterator[Check]:
    number, sealed, found = 0, None, None
    broken: str | None = None
    for event in ledger.events.history(job.id):
        if event.number != number + 1:
            broken = broken or f"event {number + 1} is missing"
        number = event.number
        sealed = event_hash(
            previous=sealed, number=number, job_id=event.job_id, run_id=event.run_id, at=event.at,
            host=event.host, user=event.user, kind=event.kind, facts=event.facts,
        )  # fmt: skip
        if sealed != event.hash:
            broken = broken or (
                f"event {number} ({event.kind}, {event.at:%Y-%m-%d %H:%M:%S} UTC), or the one before it, is not "
                "what was recorded"
            )
            sealed = event.hash  # each break is one break
        if head is not None and sealed == head.lower():
            found = number
        story.tell(event)
    if broken is None and (number, sealed) != (job.event_count, job.event_head):
        broken = f"the job names {job.event_count} events up to {words.told(job.event_head)}; there are {number}, up to {words.told(sealed)}"
    text = f"{number} events, each sealed by the next; the head is {words.told(sealed)}."
    if broken is not None:
        text = f"The chain of events is broken: {broken}."
    yield compared("events", broken is None, text, count=number, head=sealed)
    if head is None:
        return
    if found is None:
        text = "No event has that hash: the record was changed since it was printed, or it belongs to another job."
    elif broken is None:
        text = f"It is the hash of event {found}; {number - found} came after."
    else:
        text = f"It is the hash of event {found}, but the chain is broken."
    yield compared("head", found is not None and broken is None, text, head=head, number=found)


def _receipts(ledger: Ledger, job: Job, story: _Story) -> Check:
    wrong: list[str] = []
    left = dict(story.receipts)
    counted = unsealed = 0
    for batch_id, rows in ledger.seals.sent(job.id):
        receipt = left.pop(batch_id, None) if batch_id is not None else None
        if receipt is None:
            unknown = [row.path for row in rows if row.path not in story.settled]
            wrong += [f"{path} is called sent, but there is no receipt for it" for path in unknown]
            continue
        files, sealed = list(rows), receipt.facts.get("digest")
        counted += len(files)
        if len(files) != receipt.facts["files"]:
            had = files_text(receipt.facts["files"])
            wrong.append(f"batch {batch_id} had {had}, and has {len(files)} now")
        elif sealed is None:
            unsealed += len(files)
        elif rows_digest(files) != sealed:
            wrong.append(f"a row of batch {batch_id} ({_named([row.path for row in files])}) was changed")
    wrong += [f"no file of batch {batch_id} is called sent any more" for batch_id in left]
    if wrong:
        text = f"The rows of files are not what was recorded: {_named(wrong)}."
        return compared("receipts", False, text, wrong=wrong)
    text = f"{words.several(len(story.receipts), 'receipt')} for {files_text(counted)}: they agree with their rows."
    if unsealed:
        text += f" Those of {files_text(unsealed)} are older than digests: only counted."
    if story.settled:
        text += f" {files_text(len(story.settled))} taken as delivered by a person's decision: no receipt, no hash."
    by_word = len(story.settled)
    return compared("receipts", True, text, files=counted, unsealed=unsealed, by_word=by_word)


def _totals(ledger: Ledger, job: Job, story: _Story) -> Check:
    now = ledger.seals.totals(job.id)
    if wrong := story.waivers.differ(ledger, job.id):
        return compared("totals", False, f"Waived, but not as it is on record: {_named(wrong)}.", now=now)
    if story.finished is None and job.state in TRIGGERED:
        text = "Processing began, but no event says that the upload ended."
        return compared("totals", False, text, now=now)
    if story.finished is None:
        text = "The upload has not ended: there are no totals to compare with."
        return compared("totals", None, text, now=now)
    then = {key: story.finished.facts[key] for key in now if key in story.finished.facts}
    if not then:
        return compared("totals", None, "The upload ended before the record held totals.", now=now)
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(now["files"].items()))
    text = f"{counts}: as when the upload ended."
    if story.scanned_since:
        return story.added.totals(now, then)
    if then != now:
        before = ", ".join(f"{count:,} {state}" for state, count in sorted(then.get("files", {}).items()))
        text = f"The files are not those of the end of the upload: {counts} now; then {before}."
    return compared("totals", then == now, text, now=now, then=then)


def _processing(job: Job, story: _Story) -> Check:
    wrong = []
    rounds = story.added.rounds
    first = story.begun - rounds  # the upload's own
    if (job.dataset_id, job.transaction_id) != (story.dataset_id, story.transaction_id):
        wrong.append("the dataset or the transaction is another one than the events name")
    began = job.state in TRIGGERED and job.state is not JobState.TRIGGERING
    if job.state is not JobState.CANCELLED and first != int(began):
        wrong.append(f"the job is {job.state}, and by the events processing began {first} times")
    if first > 1:
        wrong.append(f"by the events, processing began {first} times")
    if job.state is JobState.READY and (still := story.rows.open_rounds):
        wrong.append(f"the job is ready, and {', '.join(f'round {number}' for number in still)} is not over")
    if not story.failed - 1 <= story.again <= story.failed:
        wrong.append(
            f"by the events, it failed {story.failed} times and was started again {story.again} times"
        )
    text = "Processing has not begun."
    if job.state is JobState.TRIGGERING and not wrong:
        return compared(
            "processing", None, "Whether processing has begun is not known.", begun=0, intended=story.intended
        )
    if wrong:
        text = f"{'; '.join(wrong).capitalize()}."
    elif story.begun:
        text = f"Processing began once; it was asked for {'once' if story.intended == 1 else f'{story.intended:,} times'}."
        if story.again:
            text += f" It failed, and was started again on the server: {words.several(story.again, 'time')}."
    if rounds and not wrong:
        text += (
            f" {words.several(rounds, 'addition')} began after it, each once; asked for "
            f"{'once' if story.added.intended == 1 else f'{story.added.intended:,} times'}."
        )
    facts = {"begun": story.begun, "intended": story.intended, "again": story.again, "additions": rounds}
    return compared("processing", not wrong, text, **facts)


def _listed(ledger: Ledger, job: Job, story: _Story) -> list[str]:
    """Return in words what is not so in what the files' rows keep of the server's list."""
    sealed = rows_digest(()) if story.listed is None else story.listed.facts["rows"]
    same = ledger.listing.digest(job.id) == sealed
    return [] if same else ["what the server lists of the files is not what was recorded"]


def _agreed(name: str, wrong: list[str], what: str) -> Check:
    if wrong:
        text = f"{what} do not match the events: {_named(wrong, '; ')}."
        return compared(name, False, text, wrong=wrong)
    return compared(name, True, f"{what} match the events.")


def verify_server(ledger: Ledger, api: "Api", job: Job) -> Check:
    """Return what the server says of the dataset now; what it counts is an observation, not a check.

    Raises `RequestError` where the server gives no answer.
    """
    if job.dataset_id is None:
        return compared("server", None, "There is no dataset yet.")
    try:
        status = api.dataset_status(job.dataset_id)
    except Denied as error:
        text = f"The server has no dataset {job.dataset_id} for you: {words.clause(error)}."
        return compared("server", False, text)
    sent = ledger.files.counts(job.id)[FileState.SENT]
    text = f"Dataset {job.dataset_id} is {status.word}."
    if job.status not in (None, status.word):
        text += f" When it was last looked at, it was {job.status}."
    facts = {"status": status.word, "n_images": status.n_images, "n_videos": status.n_videos, "sent": sent}
    if status.n_images is not None or status.n_videos is not None:
        counted = (status.n_images or 0) + (status.n_videos or 0)
        text += f" It counts {counted:,} images and videos; sent: {files_text(sent)}."
        if counted != sent:
            text += (
                " How the server counts is not public: it may still be counting, leave out or count duplicates, leave "
                "out what it can't read, or count frames."
            )
    return compared("server", True, text, **facts)


def _named(items: list[str], between: str = ", ") -> str:
    """Return the first few of many."""
    rest = len(items) - MENTIONED
    return between.join(items[:MENTIONED]) + (f" and {rest:,} more" if rest > 0 else "")
