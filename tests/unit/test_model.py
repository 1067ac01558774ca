"""The tables of the domain are complete: every state can be looked up, every documented word has a meaning."""

from collections.abc import Iterable
from enum import StrEnum

import pytest

from vl_ingest.domain.model import (
    FINISHED,
    SETTLED,
    STATUS_CLASSES,
    TRANSITIONS,
    TRIGGERED,
    WAIVABLE,
    Batch,
    BatchState,
    Counts,
    DatasetStatus,
    Facts,
    FileRow,
    FileState,
    JobState,
    StatusClass,
)

# The words of the vendor's documentation (shared/api.md, "Dataset status"), with what they mean there.
STATUS_NEW = {
    "DRAFT": StatusClass.NOT_BEGUN,  # "processing has not started"
    "INDEXING": StatusClass.BEGUN,
    "READ ONLY": StatusClass.BEGUN,
    "PARTIAL INDEX": StatusClass.BEGUN,
    "READY": StatusClass.DONE,
    "ERROR": StatusClass.FAILED,
}
STATUS_OF_OLDER_SERVERS = [
    "NEW",
    "PRE_PROCESSING",
    "INITIALIZING",
    "UPLOADING",
    "SAVING",
    "INDEXING",
    "READY",
    "FATAL_ERROR",
    "ENRICHING",
]

FIRST_STATES: dict[type[StrEnum], StrEnum] = {
    JobState: JobState.CREATED,
    FileState: FileState.PENDING,
    BatchState: BatchState.IN_FLIGHT,
}
MACHINES = pytest.mark.parametrize("machine", [JobState, FileState, BatchState])


def reachable(machine: type[StrEnum], starts: Iterable[StrEnum]) -> set[StrEnum]:
    """Return every state that some way leads to, the starts included."""
    seen: set[StrEnum] = set()
    ahead = list(starts)
    while ahead:
        state = ahead.pop()
        if state not in seen:
            seen.add(state)
            ahead.extend(TRANSITIONS[machine][state])
    return seen


def file_row(state: FileState = FileState.PENDING, *, size_bytes: int = 3) -> FileRow:
    """Return a file of a few bytes."""
    return FileRow(1, "a.jpg", "a.jpg", Facts(size_bytes, 5), state)


def test_there_is_a_table_for_each_machine() -> None:
    """Jobs, files and batches each have their transitions written down, and nothing else has."""
    assert set(TRANSITIONS) == {JobState, FileState, BatchState}


@MACHINES
def test_every_state_has_its_line_in_the_table(machine: type[StrEnum]) -> None:
    """Whatever state a row is in, the table says what may come next, in states of the same machine."""
    assert set(TRANSITIONS[machine]) == set(machine)
    for targets in TRANSITIONS[machine].values():
        assert all(isinstance(target, machine) for target in targets)


@MACHINES
def test_no_state_leads_to_itself(machine: type[StrEnum]) -> None:
    """A transition is a change, so that each event in the history means one."""
    assert all(state not in targets for state, targets in TRANSITIONS[machine].items())


@MACHINES
def test_every_state_can_come_about(machine: type[StrEnum]) -> None:
    """From the state that rows are made in, some way leads to every other."""
    assert reachable(machine, [FIRST_STATES[machine]]) == set(machine)


def test_a_finished_job_stays_finished() -> None:
    """A cancelled job has no way out; a ready one takes more media, and one that failed goes on where the server tries again."""
    ways = {state: targets for state, targets in TRANSITIONS[JobState].items() if state in FINISHED}
    assert ways == {
        JobState.READY: {JobState.ADDING}, JobState.ERRORED: {JobState.PROCESSING}, JobState.CANCELLED: frozenset(),
    }  # fmt: skip
    assert all(targets for state, targets in TRANSITIONS[JobState].items() if state not in FINISHED)


def test_every_unfinished_job_can_be_cancelled() -> None:
    """A person can give a job up wherever it stands."""
    cancellable = {s for s, targets in TRANSITIONS[JobState].items() if JobState.CANCELLED in targets}
    assert cancellable == set(JobState) - FINISHED


def test_a_job_whose_processing_began_never_triggers_again() -> None:
    """Once the server has begun, no way leads back to a state from which the trigger is sent."""
    assert reachable(JobState, [JobState.PROCESSING]) == {JobState.PROCESSING, JobState.ADDING, *FINISHED}


def test_only_a_job_with_everything_uploaded_may_trigger() -> None:
    """Processing is started from one state alone, and begins nowhere but behind it."""
    before = {s for s, targets in TRANSITIONS[JobState].items() if JobState.TRIGGERING in targets}
    assert before == {JobState.UPLOADED}
    into = {s for s, targets in TRANSITIONS[JobState].items() if targets & TRIGGERED}
    assert into == {
        JobState.UPLOADED, JobState.TRIGGERING, JobState.PROCESSING, JobState.ERRORED, JobState.READY, JobState.ADDING,
    }  # fmt: skip


def test_only_files_in_flight_or_of_unknown_outcome_become_sent() -> None:
    """A file counts as sent when its batch was, or when an unknown outcome is settled; never by itself."""
    before = {s for s, targets in TRANSITIONS[FileState].items() if FileState.SENT in targets}
    assert before == {FileState.IN_FLIGHT, FileState.UNKNOWN}


def test_exactly_the_waivable_states_can_be_waived() -> None:
    """What may be decided away and what the table allows are the same states; a filter leaves out what waits, too."""
    before = {s for s, targets in TRANSITIONS[FileState].items() if FileState.WAIVED in targets}
    assert before == WAIVABLE | {FileState.PENDING}


def test_every_file_that_holds_the_trigger_can_still_be_settled() -> None:
    """No file is stuck: from each state some way leads to sent or waived."""
    for state in set(FileState) - SETTLED:
        assert reachable(FileState, [state]) & SETTLED


def test_a_batch_never_changes_once_it_has_ended() -> None:
    """Only a batch in flight has somewhere to go."""
    alive = {state for state, targets in TRANSITIONS[BatchState].items() if targets}
    assert alive == {BatchState.IN_FLIGHT}


@pytest.mark.parametrize(("word", "meaning"), STATUS_NEW.items())
def test_documented_status_words_mean_what_the_vendor_says(word: str, meaning: StatusClass) -> None:
    """Each word of `status_new` is classed by its documented meaning."""
    assert DatasetStatus(word).status_class is meaning


@pytest.mark.parametrize("word", STATUS_OF_OLDER_SERVERS)
def test_words_of_older_servers_are_known(word: str) -> None:
    """Each word that an older server may send says something about processing."""
    assert DatasetStatus(word).status_class is not StatusClass.UNCLEAR


def test_an_older_server_says_ready_and_fatal_error_at_the_end() -> None:
    """Of an older server's words exactly one means done and one means failed."""
    ends = {w: DatasetStatus(w).status_class for w in STATUS_OF_OLDER_SERVERS}
    assert {w for w, meaning in ends.items() if meaning is StatusClass.DONE} == {"READY"}
    assert {w for w, meaning in ends.items() if meaning is StatusClass.FAILED} == {"FATAL_ERROR"}


def test_no_word_is_classed_that_is_not_documented() -> None:
    """Every word in the table is the vendor's, and none is classed as unclear."""
    assert set(STATUS_CLASSES) == {*STATUS_NEW, *STATUS_OF_OLDER_SERVERS}
    assert StatusClass.UNCLEAR not in STATUS_CLASSES.values()


@pytest.mark.parametrize("word", ["", "QUEUED", "READY?", "NOT READY", "DONE"])
def test_an_unknown_status_word_is_unclear(word: str) -> None:
    """A word that nobody documented is not taken for an end, nor for anything else."""
    assert DatasetStatus(word).status_class is StatusClass.UNCLEAR


def test_the_case_of_a_status_word_does_not_matter() -> None:
    """`ready` means what `READY` means, and the word itself is kept as the server wrote it."""
    status = DatasetStatus("Read Only")
    assert status.status_class is StatusClass.BEGUN
    assert status.word == "Read Only"


def test_counts_know_what_holds_the_trigger() -> None:
    """Everything that is neither sent nor waived is unsent; a state without files counts nothing."""
    files = {state: 10**place for place, state in enumerate(FileState)}
    counts = Counts(files=files, bytes={state: 2 * count for state, count in files.items()})
    assert counts.total == sum(files.values())
    assert counts.total_bytes == 2 * counts.total
    assert counts.unsent == counts.total - files[FileState.SENT] - files[FileState.WAIVED]
    assert Counts(files={}, bytes={})[FileState.EMPTY] == 0


def test_a_batch_weighs_what_its_files_weigh() -> None:
    """The size of a batch is the bytes of its files, without framing."""
    assert Batch(1, (file_row(size_bytes=3), file_row(size_bytes=40)), 0).size_bytes == 43


def test_new_facts_leave_the_rest_of_a_file_as_it_was() -> None:
    """A file seen anew keeps its identity, its name and its state."""
    row = file_row(FileState.CHANGED)
    seen = row.with_facts(Facts(9, 9))
    assert seen.facts == Facts(9, 9)
    assert seen.with_facts(row.facts) == row
    assert row.with_facts(Facts(3, 5)) is row
