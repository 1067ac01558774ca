"""The ledger's guards: no state is set unless it was what it should be, no effect is intended without the lease."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from vl_ingest.domain.errors import FileTrouble, JobHeld, UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    TRANSITIONS,
    UNSEEN,
    AttemptOutcome,
    Batch,
    BatchState,
    Facts,
    FileState,
    Found,
    Job,
    JobState,
    Run,
)
from vl_ingest.ledger import Ledger, TransitionRefused
from vl_ingest.ledger.exchange import Claim, Receipt
from vl_ingest.ledger.guard import move
from vl_ingest.ledger.tables import attempts, batches, files, jobs
from vl_ingest.manage import decide


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return a fresh ledger in a real file."""
    with Ledger(tmp_path / "ledger.db") as book:
        yield book


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """Return a run on a job with an open transaction and five pending files."""
    job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
    run = ledger.runs.take(job.id, "host", 1, "test")
    ledger.files.add(run, [Found(f"{n}.png", Facts(10, n)) for n in range(5)])
    dataset, transaction = {"dataset_id": "d"}, {"transaction_id": "1"}
    ledger.jobs.step(job.id, run, JobState.CREATED, EventKind.DATASET_CREATED, dataset, **dataset)
    ledger.jobs.step(
        job.id, run, JobState.DATASET_CREATED, EventKind.TRANSACTION_OPENED, transaction, **transaction
    )
    return run


def _claim(ledger: Ledger, run: Run, count: int = 5) -> Batch:
    (batch,) = ledger.batches.exchange(run, "1", [], [Claim(ledger.files.pending(run.job_id, 0, count))])
    return batch


def _send_all(ledger: Ledger, run: Run) -> None:
    batch = _claim(ledger, run)
    ledger.batches.exchange(run, "1", [Receipt(batch, ["0" * 64] * len(batch.files), 202)], [])


def _states(ledger: Ledger, run: Run) -> set[str]:
    return {str(file.state) for file in ledger.files.rows(run.job_id)}


def test_trigger_is_not_intended_before_this_runs_scan_is_complete(ledger: Ledger, run: Run) -> None:
    """Everything sent is not enough: the folder must have been seen to its end, by this very run."""
    _send_all(ledger, run)
    with pytest.raises(TransitionRefused):
        ledger.jobs.finish_upload(run)
    ledger.jobs.mark_scanned(run, {})
    ledger.jobs.finish_upload(run)
    later = ledger.runs.take(run.job_id, "host", 2, "test")
    with pytest.raises(TransitionRefused):
        ledger.jobs.intend_trigger(later, "DRAFT", "1")
    assert ledger.jobs.get(run.job_id).state is JobState.UPLOADED


@pytest.mark.parametrize(
    "state", [state for state in FileState if state not in (FileState.SENT, FileState.WAIVED)]
)
def test_trigger_is_not_intended_while_a_file_is_unsent(ledger: Ledger, run: Run, state: FileState) -> None:
    """One file in any state but sent and waived holds it, however it got there."""
    _send_all(ledger, run)
    ledger.jobs.mark_scanned(run, {})
    with ledger.db.write() as connection:
        connection.execute(sa.update(files).where(files.c.path == "3.png").values(state=state))
    with pytest.raises(TransitionRefused):
        ledger.jobs.finish_upload(run)
    with ledger.db.write() as connection:
        connection.execute(sa.update(jobs).values(state=JobState.UPLOADED))
    with pytest.raises(TransitionRefused):
        ledger.jobs.intend_trigger(run, "DRAFT", "1")


@pytest.mark.parametrize("lost", ["taken over", "ended"])
def test_a_lost_lease_stops_every_effect(ledger: Ledger, run: Run, lost: str) -> None:
    """Once another run has the job, or this one has ended, nothing more is intended in its name."""
    batch = _claim(ledger, run, 2)
    if lost == "ended":
        ledger.runs.end(run, 0)
    else:
        ledger.runs.take(run.job_id, "host", 2, "test")
    for effect in (
        lambda: ledger.runs.beat(run),
        lambda: ledger.jobs.intend(run, EventKind.CREATE_INTENDED),
        lambda: ledger.batches.exchange(run, "1", [], [Claim(ledger.files.pending(run.job_id, 0, 1))]),
        lambda: ledger.batches.begin_attempt(run, batch),
        lambda: ledger.jobs.mark_scanned(run, {}),
        lambda: ledger.jobs.intend_trigger(run, "DRAFT", "1"),
        lambda: ledger.files.add(run, [Found("new.png", Facts(1, 1))]),
    ):
        with pytest.raises(JobHeld, match=lost):
            effect()


def test_a_late_no_of_a_run_that_lost_the_job_changes_nothing(ledger: Ledger, run: Run) -> None:
    """Only the holder's trigger may count as not begun; that processing has begun is taken from anyone."""
    _send_all(ledger, run)
    ledger.jobs.mark_scanned(run, {})
    ledger.jobs.finish_upload(run)
    ledger.jobs.intend_trigger(run, "DRAFT", "1")
    ledger.runs.take(run.job_id, "host", 2, "test")
    with pytest.raises(JobHeld):
        ledger.jobs.step(run.job_id, run, JobState.TRIGGERING, EventKind.TRIGGER_REFUSED, {"detail": "no"})
    assert ledger.jobs.get(run.job_id).state is JobState.TRIGGERING
    ledger.jobs.step(run.job_id, run, JobState.TRIGGERING, EventKind.TRIGGER_ACKNOWLEDGED, {})
    assert ledger.jobs.get(run.job_id).state is JobState.PROCESSING


def test_a_run_on_another_host_is_respected_until_its_lease_is_over(ledger: Ledger, run: Run) -> None:
    """A heartbeat from elsewhere holds the job; an old one does not."""
    with pytest.raises(JobHeld, match="host"):
        ledger.runs.take(run.job_id, "another", 1, "test")
    with ledger.db.write() as connection:
        connection.execute(sa.text("UPDATE runs SET heartbeat_at = '2020-01-01 00:00:00.000000'"))
    assert ledger.runs.take(run.job_id, "another", 1, "test").host == "another"


@pytest.mark.parametrize(
    "decision",
    [
        decide.retry,
        lambda ledger, job: decide.waive(ledger, job, []),
        lambda ledger, job: decide.settle_trigger(ledger, job, began=False),
        lambda ledger, job: decide.settle_files(ledger, job, delivered=True),
        decide.cancel,
    ],
    ids=["retry", "waive", "settle the trigger", "settle files", "cancel"],
)
def test_nothing_is_decided_under_a_run_on_another_host(
    ledger: Ledger, run: Run, decision: Callable[[Ledger, Job], object]
) -> None:
    """A person's decisions wait for a run elsewhere as another run would."""
    with pytest.raises(JobHeld, match="a run on host"):
        decision(ledger, ledger.jobs.get(run.job_id))


def test_a_decision_is_about_the_job_as_it_is_now(ledger: Ledger, run: Run) -> None:
    """What has moved on since it was looked up is not decided on by what it was."""
    _send_all(ledger, run)
    ledger.jobs.mark_scanned(run, {})
    ledger.jobs.finish_upload(run)
    ledger.jobs.intend_trigger(run, "DRAFT", "1")
    stale = ledger.jobs.get(run.job_id)
    ledger.jobs.step(run.job_id, run, JobState.TRIGGERING, EventKind.TRIGGER_ACKNOWLEDGED, {})
    ledger.runs.end(run, 0)
    with pytest.raises(UsageError, match="There is no doubt whether processing"):
        decide.settle_trigger(ledger, stale, began=False)
    decide.cancel(ledger, stale)
    assert ledger.jobs.get(run.job_id).state is JobState.CANCELLED


@pytest.mark.parametrize("machine", TRANSITIONS, ids=lambda machine: machine.__name__)
def test_a_transition_that_is_not_in_the_table_is_a_mistake(ledger: Ledger, machine: type[JobState]) -> None:
    """Every pair of states that the table does not list is refused before it reaches the database."""
    for before in machine:
        for after in machine:
            if after not in TRANSITIONS[machine][before]:
                with ledger.db.write() as connection, pytest.raises(ValueError, match="no transition"):
                    move(connection, files, files.c.id == 1, before, after)


def test_a_transition_from_another_state_changes_nothing(ledger: Ledger, run: Run) -> None:
    """The guarded update raises, and the whole transaction is taken back."""
    batch = _claim(ledger, run, 3)
    ledger.batches.exchange(run, "1", [Receipt(batch, ["0" * 64] * 3, 202)], [])
    for again in (
        lambda: ledger.batches.exchange(run, "1", [Receipt(batch, ["1" * 64] * 3, 202)], []),
        lambda: ledger.batches.conclude(run, batch, BatchState.FAILED, FileState.PENDING, None),
        lambda: ledger.batches.split(run, batch, [batch.files[:1], batch.files[1:]], "why"),
    ):
        with pytest.raises(TransitionRefused):
            again()
    assert {f.sha256 for f in ledger.files.rows(run.job_id, FileState.SENT)} == {"0" * 64}
    assert len(list(ledger.events.history(run.job_id, "batch_sent"))) == 1


def test_an_attempt_that_was_settled_takes_no_late_answer(ledger: Ledger, run: Run) -> None:
    """What an abandoned worker learns afterwards changes nothing, and doubts no file once more."""
    batch = _claim(ledger, run, 2)
    ledger.batches.abandon_in_flight(run, died=False)
    for outcome in (AttemptOutcome.UNKNOWN, AttemptOutcome.REFUSED):
        with pytest.raises(TransitionRefused):
            ledger.batches.record_failure(run, batch, outcome, None, "late")
    assert [file.unknown_attempts for file in ledger.files.rows(run.job_id, FileState.UNKNOWN)] == [1, 1]


def test_two_claims_never_share_a_file(ledger: Ledger, run: Run) -> None:
    """Of two that want the same files, one gets them and the other is refused as a whole."""
    wanted = ledger.files.pending(run.job_id, 0, 5)
    refused: list[Exception] = []

    def claim() -> None:
        try:
            ledger.batches.exchange(run, "1", [], [Claim(wanted)])
        except TransitionRefused as exc:
            refused.append(exc)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    with ledger.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(attempts)).scalar_one() == 1


def test_one_file_that_is_elsewhere_refuses_all_claims_and_receipts_of_a_turn(
    ledger: Ledger, run: Run
) -> None:
    """Each batch has to move as a whole; where one can't, none of the turn is recorded."""
    rows = ledger.files.pending(run.job_id, 0, 5)
    (batch,) = ledger.batches.exchange(run, "1", [], [Claim(rows[3:4])])
    with pytest.raises(TransitionRefused):
        ledger.batches.exchange(run, "1", [], [Claim(rows[:2]), Claim(rows[2:])])
    assert [file.id for file in ledger.files.pending(run.job_id, 0, 5)] == [1, 2, 3, 5]
    (other,) = ledger.batches.exchange(run, "1", [], [Claim(rows[:2])])
    wider = replace(batch, files=tuple(rows[2:]))
    with pytest.raises(TransitionRefused):
        ledger.batches.exchange(
            run, "1", [Receipt(other, ["0" * 64] * 2, 202), Receipt(wider, ["0" * 64] * 3, 202)], []
        )
    assert not list(ledger.files.rows(run.job_id, FileState.SENT))


def test_files_with_gaps_between_them_are_moved_one_by_one(ledger: Ledger, run: Run) -> None:
    """What lies between stays as it is, and each file gets its own hash."""
    rows = ledger.files.pending(run.job_id, 0, 5)
    claims = [Claim([rows[0], rows[2]]), Claim(rows[3:])]
    made = ledger.batches.exchange(run, "1", [], claims)
    assert [file.id for file in ledger.files.pending(run.job_id, 0, 5)] == [2]
    receipts = [Receipt(batch, [f"{file.id:064}" for file in batch.files], 202) for batch in made]
    ledger.batches.exchange(run, "1", receipts, [])
    sent = {file.id: file.sha256 for file in ledger.files.rows(run.job_id, FileState.SENT)}
    assert sent == {number: f"{number:064}" for number in (1, 3, 4, 5)}


def test_claims_of_one_transaction_are_batches_of_their_own(ledger: Ledger, run: Run) -> None:
    """Each batch has on record how many files it carries, and these files name it."""
    ledger.files.add(run, [Found(f"more{number}.png", Facts(10, 1)) for number in range(9)])
    rows = ledger.files.pending(run.job_id, 0, 20)
    made = ledger.batches.exchange(run, "1", [], [Claim(rows[:4]), Claim(rows[4:5]), Claim(rows[5:8])])
    with ledger.db.read() as connection:
        counts = connection.execute(sa.select(batches.c.id, batches.c.file_count)).all()
        carried = connection.execute(
            sa.select(files.c.id, files.c.batch_id).where(files.c.batch_id.is_not(None))
        ).all()
    assert dict(map(tuple, counts)) == {batch.id: len(batch.files) for batch in made}
    assert dict(map(tuple, carried)) == {file.id: batch.id for batch in made for file in batch.files}


def test_an_intent_without_receipt_becomes_unknown(ledger: Ledger, run: Run) -> None:
    """Whatever was being sent when its run died may have arrived: batch, attempt and files say so."""
    _claim(ledger, run, 3)
    later = ledger.runs.take(run.job_id, "host", 2, "test")
    assert ledger.batches.abandon_in_flight(later, died=True) == 3
    unknown = list(ledger.files.rows(run.job_id, FileState.UNKNOWN))
    assert [file.unknown_attempts for file in unknown] == [1, 1, 1]
    assert ledger.batches.abandon_in_flight(later, died=True) == 0


def test_a_batch_that_was_never_attempted_is_not_in_doubt(ledger: Ledger, run: Run) -> None:
    """Halves of a split that nobody had begun to send when the run died are simply pending again."""
    batch = _claim(ledger, run, 4)
    refused = ledger.batches.record_failure(run, batch, AttemptOutcome.REFUSED, 400, "bad")
    halves = ledger.batches.split(run, refused, [refused.files[:2], refused.files[2:]], "400")
    ledger.batches.begin_attempt(run, halves[0])
    later = ledger.runs.take(run.job_id, "host", 2, "test")
    assert ledger.batches.abandon_in_flight(later, died=True) == 2
    assert {file.path for file in ledger.files.rows(run.job_id, FileState.UNKNOWN)} == {"0.png", "1.png"}
    assert {file.path for file in ledger.files.rows(run.job_id, FileState.PENDING)} == {
        "2.png",
        "3.png",
        "4.png",
    }


@pytest.mark.parametrize("cut", ["split", "superseded"])
def test_doubt_outlives_the_batch_in_which_it_arose(ledger: Ledger, run: Run, cut: str) -> None:
    """What may have been delivered is unknown after a death, though no batch that carries it now was sent."""
    batch = ledger.batches.record_failure(run, _claim(ledger, run), AttemptOutcome.UNKNOWN, 503, "lost")
    if cut == "split":
        ledger.batches.split(run, batch, [batch.files[:2], batch.files[2:]], "503")
    else:
        ledger.batches.supersede(
            run, batch, [(batch.files[0], FileTrouble(batch.files[0].path, FileState.MISSING, "gone"), None)]
        )
    later = ledger.runs.take(run.job_id, "host", 2, "test")
    unknown = ledger.batches.abandon_in_flight(later, died=True)
    assert unknown == len(list(ledger.files.rows(run.job_id, FileState.UNKNOWN)))
    assert unknown == (5 if cut == "split" else 4)


def test_doubt_about_one_file_is_none_about_its_neighbours(ledger: Ledger, run: Run) -> None:
    """A batch that was never delivered leaves only those unknown that an earlier one may have delivered."""
    first = ledger.batches.record_failure(run, _claim(ledger, run, 2), AttemptOutcome.UNKNOWN, 503, "lost")
    ledger.batches.conclude(run, first, BatchState.UNKNOWN, FileState.UNKNOWN, "held")
    told, resent = first.files
    ledger.decisions.settle_unknown(run.job_id, run, told, FileState.PENDING, "not-delivered")
    ledger.decisions.settle_unknown(run.job_id, run, resent, FileState.PENDING, "--on-unknown resend")
    ledger.batches.record_failure(run, _claim(ledger, run), AttemptOutcome.NOT_DELIVERED, None, "refused")
    assert ledger.batches.abandon_in_flight(run, died=False) == 1
    assert [file.path for file in ledger.files.rows(run.job_id, FileState.UNKNOWN)] == [resent.path]
    assert _states(ledger, run) == {"unknown", "pending"}


def test_what_can_not_be_sent_is_set_aside_with_the_claim(ledger: Ledger, run: Run) -> None:
    """Problems and the intent are one transaction."""
    rows = ledger.files.pending(run.job_id, 0, 2)
    ledger.batches.exchange(
        run, "1", [], [Claim(rows[1:])], [(rows[0], FileTrouble(rows[0].path, FileState.MISSING, "gone"))]
    )
    assert _states(ledger, run) == {"missing", "in_flight", "pending"}


def test_a_known_file_is_recognised_and_only_pending_ones_are_refreshed(ledger: Ledger, run: Run) -> None:
    """The same path is the same file; a sent one that differs is flagged, not changed."""
    batch = _claim(ledger, run, 2)
    ledger.batches.exchange(run, "1", [Receipt(batch, ["0" * 64] * 2, 202)], [])
    assert ledger.files.add(run, [Found(f"{n}.png", Facts(99, 99)) for n in range(5)]) == 0
    facts = {file.path: file.facts.size_bytes for file in ledger.files.rows(run.job_id)}
    assert facts == {"0.png": 10, "1.png": 10, "2.png": 99, "3.png": 99, "4.png": 99}
    assert ledger.files.changed_after(run.job_id) == 2


def test_a_look_that_fails_tells_nothing_of_a_known_file(ledger: Ledger, run: Run) -> None:
    """A disk that is away for a moment: the sender may have read the row already, and send the file as it was."""
    before = ledger.files.pending(run.job_id, 0, 5)
    assert ledger.files.add(run, [Found(f"{n}.png", UNSEEN) for n in range(5)]) == 0
    assert ledger.files.pending(run.job_id, 0, 5) == before


def test_one_unfinished_job_for_one_folder_name_and_server(ledger: Ledger, run: Run) -> None:
    """Entering again gives the same job; another folder under the name is refused."""
    assert ledger.jobs.get_or_create("/source", "name", "http://server", {}, new=True).id == run.job_id
    with pytest.raises(UsageError, match="--source"):
        ledger.jobs.get_or_create("/other", "name", "http://server", {})
    assert ledger.jobs.get_or_create("/other", "name", "http://server", {}, new=True).id != run.job_id


def test_names_stay_unique_over_many_chunks(ledger: Ledger, run: Run) -> None:
    """However often a base name comes, and in whatever chunk, no two files are sent under one name."""
    for chunk in range(5):
        ledger.files.add(run, [Found(f"{chunk}/{n}/same.png", Facts(1, 1)) for n in range(40)])
    names = [file.sent_as for file in ledger.files.rows(run.job_id)]
    assert len(names) == len(set(names)) == 205


def test_pending_files_come_page_by_page(ledger: Ledger, run: Run) -> None:
    """Pending files come in the order they were found, page by page."""
    ledger.files.add(run, [Found(f"more/{n}.png", Facts(1, 1)) for n in range(2500)])
    seen, after = 0, 0
    while page := ledger.files.pending(run.job_id, after, 400):
        seen, after = seen + len(page), page[-1].id
    assert seen == 2505


def test_two_spellings_of_a_place_are_one_ledger(tmp_path: Path) -> None:
    """Path, URL and SQLite's own address, through a link or not: what belongs to it lies in one place."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    link = tmp_path / "link" / "l.db"
    urls = [f"sqlite:///{link}", f"sqlite:///file:{link}?uri=true"]
    places: list[str | Path] = [tmp_path / "real" / "l.db", link, *urls]
    opened = [Ledger(place) for place in places]
    assert len({ledger.db.locks for ledger in opened}) == 1
    for ledger in opened:
        ledger.close()
