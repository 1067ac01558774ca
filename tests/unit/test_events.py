"""Each kind of event is written somewhere, replayed where it changes a row, and told to people."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    AttemptOutcome,
    BatchState,
    Event,
    Facts,
    FileState,
    Found,
    JobState,
)
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.events import record_upgrade
from vl_ingest.ledger.exchange import Claim
from vl_ingest.proof.replay import HELD, Replay
from vl_ingest.report.timeline import timeline
from world import check_facts

ROOT = Path(__file__).parents[2] / "vl_ingest"
REGISTRY = ROOT / "domain" / "events.py"
WRITERS = ("job.py", "ledger", "run", "upload", "processing", "additions", "manage")
READS = frozenset({"history", "last", "count"})
BY_STATE = frozenset(
    kind
    for kind in EventKind
    if isinstance(kind.becomes, (FileState, AttemptOutcome))
    and kind not in (EventKind.FILE_WAIVED, EventKind.FILE_RETRIED, EventKind.FILE_FOUND_AGAIN)
)
PROPER = {
    "files": 2, "unread": ["a"], "died": True, "began": True, "exit_code": 0, "left_out": {}, "settings": {}, "batch": 1,
    "attempt": 1, "path": "a.png", "doubts": 0,
}  # fmt: skip


def events(*kinds: EventKind | str, **facts: Any) -> list[Event]:
    """Return an event of each kind with the facts that it declares."""
    return [
        Event(
            id=number, job_id="job", number=number, run_id=number, host="vm", user="ann",
            at=datetime(2026, 1, 31, tzinfo=UTC), kind=kind, hash="", facts=facts or declared(kind),
        )
        for number, kind in enumerate(kinds, 1)
    ]  # fmt: skip


def declared(kind: EventKind | str) -> dict[str, Any]:
    """Return proper facts of a kind."""
    names = [name for name in EventKind[kind.upper()].facts.split() if not name.endswith("?")]
    return {name: PROPER.get(name, "something") for name in names}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every file but the registry; what the sandbox records of itself are no events."""
    for path in ROOT.rglob("*.py"):
        if path != REGISTRY and "sandbox" not in path.parts:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def members(node: ast.AST) -> Iterator[str]:
    """Yield the members of `EventKind` that are named within."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "EventKind" and part.attr.isupper():
            yield part.attr


def written(tree: ast.Module) -> Iterator[str]:
    """Yield the kinds that a file names, but for those that it asks the history for."""
    asked = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS
    ]
    reads = [name for node in asked for name in members(node)]
    names = list(members(tree))
    yield from (name for name in set(names) if names.count(name) > reads.count(name))


def test_a_kind_is_a_member_and_never_a_bare_word() -> None:
    """Only the registry spells the words that are on disk; the model has a state of the same name as one of them."""
    bare = {
        (path.name, node.value)
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and EventKind.known(node.value)
    }
    assert bare == {("model.py", JobState.DATASET_CREATED.value)}
    assert [kind.name.lower() for kind in EventKind] == [kind.value for kind in EventKind]


def test_no_kind_is_told_that_nobody_writes() -> None:
    """Each is named where events are written, or is found by the state that a file or an attempt has come to."""
    names = {
        name
        for path, tree in sources()
        if path.relative_to(ROOT).parts[0] in WRITERS
        for name in written(tree)
    }
    assert names & {kind.name for kind in BY_STATE} == set()
    assert names | {kind.name for kind in BY_STATE} == {kind.name for kind in EventKind}


def test_what_files_and_attempts_have_come_to_is_written_under_its_kind(tmp_path: Path) -> None:
    """A batch that fails in each way, and a file that can't be sent for each reason, write all these kinds.

    So do a folder that has moved and a new schema, which other tests meet only in the ledgers of older versions.
    """
    with Ledger(tmp_path / "ledger.db") as ledger:
        job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
        run = ledger.runs.take(job.id, "host", 1, "test")
        ledger.files.add(run, [Found(f"{n}.png", Facts(10, n)) for n in range(6)])
        first = ledger.files.pending(job.id, 0, 6)
        states = (FileState.MISSING, FileState.UNREADABLE, FileState.EMPTY)
        aside = [
            (file, FileTrouble(file.path, state, "why")) for file, state in zip(first, states, strict=False)
        ]
        (batch,) = ledger.batches.exchange(run, "1", [], [Claim(first[3:])], aside)
        for outcome in (AttemptOutcome.NOT_DELIVERED, AttemptOutcome.UNKNOWN, AttemptOutcome.REFUSED):
            ledger.batches.record_failure(run, batch, outcome, None, "trouble")
            batch = ledger.batches.begin_attempt(run, batch)
        rejected, unknown, changed = batch.files
        trouble = FileTrouble(changed.path, FileState.CHANGED, "changed")
        left = ledger.batches.supersede(run, batch, [(changed, trouble, Facts(11, 1))])
        assert left is not None
        one, other = ledger.batches.split(run, left, [[rejected], [unknown]], "400")
        ledger.batches.conclude(run, one, BatchState.FAILED, FileState.REJECTED, "400")
        ledger.batches.conclude(run, other, BatchState.UNKNOWN, FileState.UNKNOWN, "400")
        ledger.jobs.relocate(job.id, source="/elsewhere")
        with ledger.db.write() as connection:
            record_upgrade(connection, "0001", "0002")
        seen = {event.kind for event in ledger.events.history(job.id)}
        assert seen >= {*BY_STATE, EventKind.JOB_MOVED, EventKind.LEDGER_UPGRADED}
    check_facts(tmp_path / "ledger.db")


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_is_told(kind: EventKind) -> None:
    """Its facts and what the timeline adds fill its sentence; an intent is told where a run died after it."""
    told = list(timeline(events(EventKind.RUN_STARTED, kind, EventKind.RUN_STARTED), []))
    plain = kind.value.replace("_", " ").capitalize() + "."
    text = " ".join(moment["text"] for moment in told)
    assert kind.sentence.partition("{")[0] in text
    assert "{" not in kind.sentence or plain not in text


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind.becomes is not None])
def test_each_kind_that_changes_a_state_is_replayed(kind: EventKind) -> None:
    """What `verify` expects of the rows follows the event."""
    replay = Replay()
    (event,) = events(kind)
    replay.tell(event)
    match kind.becomes:
        case JobState():
            assert replay.job["state"] is kind.becomes
        case FileState():
            assert replay.reasons == {("a.png", 1): "something" if kind.becomes in HELD else None}
        case BatchState():
            assert replay.batches[1]["state"] is kind.becomes
        case AttemptOutcome():
            assert replay.attempts[1, 1]["outcome"] is kind.becomes


@pytest.mark.parametrize("began", [True, False])
def test_a_persons_word_on_the_trigger_is_replayed(began: bool) -> None:
    """It is the one event of a job whose facts say what the job becomes."""
    replay = Replay()
    replay.tell(*events(EventKind.TRIGGER_SETTLED_BY_HAND, began=began))
    assert replay.job["state"] is (JobState.PROCESSING if began else JobState.UPLOADED)


def test_a_kind_of_another_version_changes_nothing() -> None:
    """It is told by its word, whatever its facts are, and `verify` expects nothing of it."""
    (event,) = events("file_blessed", path=["?"], batch={}, files="many")
    replay = Replay()
    replay.tell(event)
    assert replay == Replay()
    assert [moment["text"] for moment in timeline([event], [])] == ["File blessed."]
