"""What the workers do with what comes back: a real ledger, a courier that follows a script, and no server."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from vl_ingest.couriers.parcel import Outcome, Parcel
from vl_ingest.domain import errors
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import RequestError
from vl_ingest.domain.model import Facts, FileState, Found
from vl_ingest.observers.observer import Observer
from vl_ingest.run import backoff
from vl_ingest.run.context import Context
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.crew import Crew
from vl_ingest.upload.plan import BatchLimits
from vl_ingest.upload.send import Sender

BROKEN = errors.OutcomeUnknown("out of order", 500)
BAD = errors.BadRequest("no picture", 400)
LARGE = errors.TooLarge("too large", 413)
LONG_S = 60.0  # nothing here takes so long, but on a machine that does much else

# From the paths of a batch, and how many were carried before, to the trouble that comes back; None: a receipt.
Script = Callable[[list[str], int], RequestError | errors.Refused | None]


class Telling(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.given_up: list[str] = []

    def notice(self, kind: str, text: str, **facts: Any) -> None:  # noqa: ARG002  # an observer's
        """Keep a warning."""
        if kind == "warning":
            self.warnings.append(text)

    def file_error(self, path: str, state: FileState, reason: str) -> None:  # noqa: ARG002  # an observer's
        """Keep a path."""
        self.given_up.append(path)


class ScriptedCrew(Crew):
    """Comes back with what its script says, and sends nothing. `carried` are the paths of each parcel."""

    def __init__(self, context: Context, script: Script) -> None:
        super().__init__(context, 0)
        self.carried: list[list[str]] = []
        self._script = script

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Be done with it."""
        paths = [file[0] for file in parcel.files]
        error = self._script(paths, len(self.carried))
        self.carried.append(paths)
        hashes = [] if error is not None else ["0" * 64] * len(paths)
        done: Future[Outcome] = Future()
        done.set_result(Outcome(error, hashes, parcel.body_bytes, parcel.body_bytes, 0.0, 0.0, 1))
        return done


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next attempt at once."""
    monkeypatch.setattr(backoff, "BACKOFF", backoff.Backoff(first_s=0.0, most_s=0.0))


def make_sender(context: Context, script: Script) -> tuple[Sender, Backlog]:
    """Return a sender, one request at once, with a backlog of all that was scanned."""
    limits, concurrency = BatchLimits(context.settings, None), Concurrency(1)
    backlog = Backlog(context, limits, concurrency)
    backlog.scan_progress(finished=True)
    return Sender(context, ScriptedCrew(context, script), backlog, limits, concurrency), backlog


def work(context: Context, script: Script) -> list[list[str]]:
    """Let it send everything, and return the paths of what was carried; raise what ended it."""
    sender, _ = make_sender(context, script)
    sender.work()
    context.cancel_token.raise_if_cancelled()
    assert isinstance(sender.courier, ScriptedCrew)
    return sender.courier.carried


def take(backlog: Backlog) -> Delivery:
    """Take a delivery that must be there."""
    (delivery,) = backlog.take("1")
    return delivery


def deliver(sender: Sender, delivery: Delivery) -> list[Delivery]:
    """Make one attempt, and return what is left to do."""
    if (parts := sender._begin(delivery, 0.0)) is not None:
        return parts
    ((delivery, future),) = sender._arrivals()
    arrived = [(delivery, future.result())]
    if arrived[0][1].error is not None:
        return sender._consequences.follow(*arrived[0])
    sender._exchange(arrived, 0, probe=False)
    sender._celebrate(arrived)
    return []


def states(context: Context) -> dict[str, str]:
    """Return path -> state."""
    return {file.path: str(file.state) for file in context.ledger.files.rows(context.job.id)}


def kinds(context: Context) -> list[str]:
    """Return the kinds of the events."""
    return [event.kind for event in context.ledger.events.history(context.job.id)]


MakeContext = Callable[..., Context]


def test_receipts_go_on_record(make_context: MakeContext) -> None:
    """Each batch is carried once."""
    context = make_context(5, batch_size=2)
    carried = work(context, lambda _paths, _number: None)
    assert carried == [["000.png", "001.png"], ["002.png", "003.png"], ["004.png"]]
    assert set(states(context).values()) == {"sent"}


def test_an_outage_in_the_middle_neither_splits_nor_rejects(make_context: MakeContext) -> None:
    """However often a batch fails, as long as nothing else gets through either."""
    context = make_context(6, batch_size=2)
    carried = work(context, lambda _paths, number: BROKEN if 1 <= number <= 30 else None)
    assert set(states(context).values()) == {"sent"}
    assert "batch_split" not in kinds(context)
    assert {len(paths) for paths in carried} == {2}


def test_what_fails_while_others_are_taken_is_split(make_context: MakeContext) -> None:
    """The third failure, with success of others between, shows that it is the batch and not the server."""
    context = make_context(16, batch_size=4)
    sender, backlog = make_sender(context, lambda paths, _number: BROKEN if "002.png" in paths else None)
    culprit, *others = [take(backlog) for _ in range(4)]
    for other in others[:2]:
        assert deliver(sender, culprit) == [culprit]
        assert deliver(sender, other) == []
    parts = deliver(sender, culprit)
    assert [[file.path for file in part.batch.files] for part in parts] == [
        ["000.png", "001.png"], ["002.png", "003.png"],
    ]  # fmt: skip
    assert deliver(sender, parts[0]) == []
    assert deliver(sender, parts[1]) == [parts[1]], "a part has failures of its own to count"


def test_a_failure_that_closes_the_gate_is_nobodys_fault(make_context: MakeContext) -> None:
    """Others have succeeded between, but now all fail: the batch is sent again as it is."""
    context = make_context(16, batch_size=4)
    sender, backlog = make_sender(context, lambda _paths, number: None if number in (1, 3) else BROKEN)
    batch, *others = [take(backlog) for _ in range(4)]
    for delivery, left in (
        (batch, 1),
        (others[0], 0),
        (batch, 1),
        (others[1], 0),
        (others[2], 1),
        (others[2], 1),
    ):
        assert len(deliver(sender, delivery)) == left
    assert not sender.gate.closed
    assert deliver(sender, batch) == [batch]
    assert sender.gate.closed


@pytest.mark.parametrize(("on_unknown", "warned"), [(OnUnknown.RESEND, 1), (OnUnknown.HOLD, 0)])
def test_what_will_not_be_sent_again_is_not_said_to_be(
    make_context: MakeContext, on_unknown: OnUnknown, warned: int
) -> None:
    """A batch that is sent again is warned of; a held file is told as such, and only as such."""
    told = Telling()
    context = make_context(2, batch_size=1, observer=told, on_unknown=on_unknown)
    work(context, lambda _paths, number: BROKEN if number == 0 else None)
    assert len(told.warnings) == warned
    assert all("It will be sent again" in text for text in told.warnings)
    assert told.given_up == ([] if warned else ["000.png"])


def test_a_refused_size_is_learnt(make_context: MakeContext) -> None:
    """The limit goes on record, and no more batches of that size are made."""
    context = make_context(8, size_bytes=1000, batch_size=4)
    carried = work(context, lambda paths, _number: LARGE if len(paths) > 2 else None)
    assert set(states(context).values()) == {"sent"}
    assert [len(paths) for paths in carried if len(paths) > 2] == [4]
    assert context.reload().too_large_bytes is not None


def test_a_batch_that_is_known_to_be_too_large_is_split_unsent(make_context: MakeContext) -> None:
    """It was made before the limit was learnt: its attempt is on record as not delivered."""
    context = make_context(8, size_bytes=1000, batch_size=4)
    sender, backlog = make_sender(context, lambda _paths, number: LARGE if number == 0 else None)
    first, second = take(backlog), take(backlog)
    for delivery in (first, second):
        assert [len(part.batch.files) for part in deliver(sender, delivery)] == [2, 2]
    assert [kind for kind in kinds(context) if kind.startswith("attempt_")] == [
        "attempt_refused", "attempt_not_delivered",
    ]  # fmt: skip


def test_a_pause_that_the_server_wants_changes_nothing_else(make_context: MakeContext) -> None:
    """The same batch is sent again, and nothing is in doubt."""
    context = make_context(2, batch_size=2)
    carried = work(context, lambda _paths, number: errors.Throttled("slow down", 0.0) if number < 5 else None)
    assert carried == [["000.png", "001.png"]] * 6
    assert [file.unknown_attempts for file in context.ledger.files.rows(context.job.id)] == [0, 0]


def test_a_first_batch_refused_to_the_last_file_stops_the_run(make_context: MakeContext) -> None:
    """It is hardly the files: none of them is blamed."""
    context = make_context(9, batch_size=4)
    with pytest.raises(errors.Refused, match="every file of the first batch"):
        work(context, lambda _paths, _number: BAD)
    assert "rejected" not in states(context).values()


def test_what_is_not_begun_when_the_run_stops_leaves_no_doubt(make_context: MakeContext) -> None:
    """Its intent is on record, and so is that nothing was sent."""
    context = make_context(3, batch_size=3)
    sender, backlog = make_sender(context, lambda _paths, _number: None)
    backlog.put([take(backlog)])
    context.cancel_token.cancel(errors.Interrupted(15))
    sender.work()
    assert "attempt_not_delivered" in kinds(context)
    assert context.ledger.batches.abandon_in_flight(context.run, died=False) == 0


class PendingCrew(ScriptedCrew):
    """Comes back with nothing until told; `pending` are what it has."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, lambda _paths, _number: None)
        self.pending: list[tuple[Parcel, Future[Outcome]]] = []

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Keep it."""
        self.pending.append((parcel, Future()))
        return self.pending[-1][1]

    def answer(self, error: RequestError | None = None) -> None:
        """Come back with the one that it has had longest."""
        parcel, future = self.pending.pop(0)
        hashes = [] if error is not None else ["0" * 64] * len(parcel.files)
        future.set_result(Outcome(error, hashes, parcel.body_bytes, parcel.body_bytes, 0.0, 0.0, 1))


def make_pending(context: Context) -> tuple[Sender, PendingCrew]:
    """Return a sender, two requests at once, and what has its parcels."""
    limits, concurrency = BatchLimits(context.settings, None), Concurrency(2)
    backlog, crew = Backlog(context, limits, concurrency), PendingCrew(context)
    backlog.scan_progress(finished=True)
    return Sender(context, crew, backlog, limits, concurrency), crew


def test_a_receipt_goes_on_record_though_the_run_gives_up_in_the_same_turn(make_context: MakeContext) -> None:
    """What the server has acknowledged is never in doubt."""
    context = make_context(6, batch_size=2, give_up_after_s=0.001)
    sender, crew = make_pending(context)
    sender._turn()
    assert len(crew.pending) == 2
    crew.answer(errors.Throttled("slowly", 3600.0))
    sender._turn()
    time.sleep(0.01)
    crew.answer()
    with pytest.raises(errors.GaveUp):
        sender._turn()
    assert [path for path, state in states(context).items() if state == "sent"] == ["002.png", "003.png"]


def test_a_receipt_goes_on_record_though_nothing_more_can_be_claimed(
    make_context: MakeContext, tmp_path: Path
) -> None:
    """The folder vanishes, and a file that had no bytes can't be looked at."""
    context = make_context(2, batch_size=1)
    sender, crew = make_pending(context)
    sender._turn()
    context.ledger.files.add(context.run, [Found("empty.png", Facts(0, 1))])
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    crew.answer()
    with pytest.raises(errors.FilesHeld):
        sender._turn()
    assert states(context)["000.png"] == "sent"


@pytest.mark.parametrize("processes", [0, 1])
def test_a_file_that_has_lost_its_bytes_since_it_was_found_is_empty(
    make_context: MakeContext, tmp_path: Path, processes: int
) -> None:
    """Whoever carries finds that it has changed; its next turn, what it is now."""
    context = make_context(1)
    (tmp_path / "pictures" / "000.png").write_bytes(b"")
    limits, concurrency = BatchLimits(context.settings, None), Concurrency(1)
    backlog = Backlog(context, limits, concurrency)
    backlog.scan_progress(finished=True)
    crew = Crew(context, processes)
    sender = Sender(context, crew, backlog, limits, concurrency)
    try:
        until = time.monotonic() + LONG_S
        while states(context)["000.png"] != "empty":
            assert time.monotonic() < until
            sender._turn()
    finally:
        crew.close()
    assert "file_changed" in kinds(context)


def test_a_batch_that_kills_its_couriers_is_split_and_its_culprit_rejected(make_context: MakeContext) -> None:
    """The third death in a row shows that it is the batch; others go on, and the gate stays open."""
    context = make_context(4, batch_size=4)
    died = errors.CourierLost("killed")
    carried = work(context, lambda paths, _number: died if "002.png" in paths else None)
    assert [len(paths) for paths in carried].count(4) == 3
    assert states(context) == {
        "000.png": "sent", "001.png": "sent", "002.png": "rejected", "003.png": "sent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (errors.Refused("bad certificate"), errors.Refused),
        (errors.Denied("gone", 404), errors.Refused),
        (errors.Redirected("elsewhere", 307), errors.Refused),
        (errors.Conflict("processed", 409), errors.Undecided),
        (errors.CredentialsRefused("expired", 0), errors.Refused),
    ],
    ids=["certificate", "404", "redirect", "409", "401"],
)
def test_a_final_answer_ends_the_run_and_is_on_record(
    make_context: MakeContext, error: RequestError | errors.Refused, ended: type[Exception]
) -> None:
    """The attempt is recorded before anything is raised, and nothing more is carried."""
    context = make_context(4, batch_size=1)
    with pytest.raises(ended):
        work(context, lambda _paths, _number: error)
    assert len([kind for kind in kinds(context) if kind.startswith("attempt_")]) == 1
