"""The kinds of events: all that can stand in a job's history, each with what it means and how it is told.

The words are on disk and under the seals of ledgers: they never change. A ledger that a newer version has written may
hold others, so a kind that is read is a `str`, and `EventKind.known` says whether this version knows it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from vl_ingest.domain.model import AttemptOutcome, BatchState, FileState, JobState

_J, _F, _B, _A = JobState, FileState, BatchState, AttemptOutcome


class EventKind(StrEnum):
    """A kind of event: its word, what its job, batch, attempt or file becomes, the facts it carries, its sentence.

    `becomes` is None where nothing changes state, or where the facts say to which. Among `facts`, `name?` is not in each
    event, and `*` stands for any option. What a `sentence` names is a fact, or is added by whoever tells it.
    """

    becomes: JobState | FileState | BatchState | AttemptOutcome | None
    facts: str
    sentence: str

    def __new__(cls, word: str, becomes: Any, facts: str, sentence: str) -> Self:  # noqa: D102  # see the class
        kind = str.__new__(cls, word)
        kind._value_, kind.becomes, kind.facts, kind.sentence = word, becomes, facts, sentence
        return kind

    # fmt: off
    JOB_CREATED = ("job_created", _J.CREATED, "source name base_url settings",
        "The job was created, for a dataset named {name!r} at {base_url}.")
    JOB_MOVED = "job_moved", None, "source? base_url?", "The job's folder or server has moved."
    JOB_READY = "job_ready", _J.READY, "task?", "The dataset was ready."
    JOB_ERRORED = "job_errored", _J.ERRORED, "message", "The server failed to process the dataset: {message}."
    JOB_CANCELLED = "job_cancelled", _J.CANCELLED, "by", "{by} cancelled the job."
    LEDGER_UPGRADED = "ledger_upgraded", None, "before after", "The ledger's schema was upgraded from {before} to {after}."

    RUN_STARTED = "run_started", None, "host pid version", "Run {run} started on {host} (pid {pid})."
    RUN_ENDED = "run_ended", None, "exit_code", "Run {run} ended with exit code {exit_code}{exit}."
    SETTINGS_CHANGED = "settings_changed", None, "*", "Options changed: {options}."
    STOP_ASKED = "stop_asked", None, "by command", "{by} asked the run to stop."
    STALLED = "stalled", None, "seconds", "No byte had moved for {seconds} seconds."
    STALL_OVER = "stall_over", None, "seconds", "Bytes moved again, after {seconds} seconds."

    OUTAGE_BEGAN = "outage_began", None, "doing detail since", "It was not possible to {doing} ({detail})."
    OUTAGE_OVER = "outage_over", None, "doing failed_attempts answered", "{failed_attempts} attempts to {doing} failed; {then}."

    SCAN_FINISHED = "scan_finished", None, "left_out", "The whole folder was scanned."
    SCAN_INCOMPLETE = "scan_incomplete", None, "unread", "The folder could not be read to the end: {folders}."

    CREATE_INTENDED = "create_intended", None, "known?", "The request to create the dataset was about to be sent."
    CREATE_UNKNOWN = "create_unknown", None, "detail http_status?", "The request to create the dataset got no receipt; an extra dataset may exist ({detail})."
    CREATE_FAILED = "create_failed", None, "detail http_status?", "The dataset was not created ({detail})."
    DATASET_CREATED = "dataset_created", _J.DATASET_CREATED, "dataset_id", "The server created dataset {dataset_id}."
    OPEN_INTENDED = "open_intended", None, "", "The request to open a transaction was about to be sent."
    OPEN_UNKNOWN = "open_unknown", None, "detail http_status?", "The request to open a transaction got no receipt ({detail})."
    OPEN_FAILED = "open_failed", None, "detail http_status?", "No transaction was opened ({detail})."
    TRANSACTION_OPENED = "transaction_opened", _J.TRANSACTION_OPEN, "transaction_id", "The server opened transaction {transaction_id}."
    TRANSACTION_GIVEN_UP = "transaction_given_up", _J.DATASET_CREATED, "files", "The transaction was given up: {counted} to be sent again."

    ATTEMPT_UNKNOWN = ("attempt_unknown", _A.UNKNOWN, "batch attempt files http_status detail sha256",
        "Batch {batch}, attempt {attempt} got no receipt ({detail}): it may have been delivered.")
    ATTEMPT_NOT_DELIVERED = ("attempt_not_delivered", _A.NOT_DELIVERED, "batch attempt files http_status detail",
        "Batch {batch}, attempt {attempt} {turned} ({detail}).")
    ATTEMPT_REFUSED = ("attempt_refused", _A.REFUSED, "batch attempt files http_status detail",
        "The server refused batch {batch}, attempt {attempt} ({detail}).")
    BATCH_SENT = "batch_sent", _B.SENT, "batch attempt http_status files size_bytes digest host?", "Batch {batch} was delivered: {counted}."
    BATCH_SPLIT = "batch_split", _B.SPLIT, "batch into reason", "Batch {batch} was split to find the file at fault ({reason})."
    BATCH_ABANDONED = ("batch_abandoned", None, "batch state files lost_answers died",
        "Batch {batch} was in flight when its run {end}; outcome for {counted}: {state}.")
    COURIERS_AWAY = "couriers_away", None, "until hosts", "Workers on {hosts} may send until {until}."
    COURIERS_BACK = "couriers_back", None, "of_run?", "Nothing was on its way any more from other hosts."
    SIZE_LIMIT_LEARNT = "size_limit_learnt", None, "too_large_bytes", "The server refused a body of {too_large_bytes} bytes as too large."

    FILE_REJECTED = "file_rejected", _F.REJECTED, "path reason batch", "{path} was rejected: {reason}."
    FILE_UNKNOWN = "file_unknown", _F.UNKNOWN, "path reason batch", "Whether {path} was delivered is unknown: {reason}."
    FILE_CHANGED = "file_changed", _F.CHANGED, "path reason", "{path} {reason}."
    FILE_MISSING = "file_missing", _F.MISSING, "path reason", "{path} could not be sent: it {reason}."
    FILE_UNREADABLE = "file_unreadable", _F.UNREADABLE, "path reason", "{path} could not be read: {reason}."
    FILE_EMPTY = "file_empty", _F.EMPTY, "path reason", "{path} was empty."
    FILE_WAIVED = "file_waived", _F.WAIVED, "path state reason by why?", "{path} ({state}) was waived by {by}{because}: it is left out."
    FILES_FILTERED_OUT = "files_filtered_out", None, "filter files digest", "Left out by a filter: {counted} ({filter})."
    FILES_LET_IN = "files_let_in", None, "filter files digest", "Joined again: {counted} that a filter had left out ({filter})."
    FILE_RETRIED = "file_retried", _F.PENDING, "path state reason by", "{path} ({state}) was queued again by {by}."
    FILE_FOUND_AGAIN = "file_found_again", _F.PENDING, "path state reason by", "{path} was found again."
    FILE_CHANGED_AFTER = "file_changed_after", None, "path sha256 size_bytes mtime_ns", "{path} was changed on disk after it had been sent."
    FILE_VERSION_QUEUED = ("file_version_queued", None, "path version sent_as size_bytes mtime_ns",
        "{path} had other content than was sent: it was queued anew as version {version}, under the name {sent_as}.")
    FILE_TOUCHED = "file_touched", None, "path version sha256 mtime_ns", "{path} was touched on disk: its content is what was sent."
    UNKNOWN_SETTLED = "unknown_settled", None, "path by state before?", "{path} may have been delivered: {settled}."
    FILES_SETTLED_BY_HAND = "files_settled_by_hand", None, "by state files", "{by} says that {counted} of unknown delivery {word}."
    REJECTIONS_WITHDRAWN = "rejections_withdrawn", None, "files reason", "The rejection of {counted} was taken back ({reason})."

    UPLOAD_FINISHED = "upload_finished", _J.UPLOADED, "files size_bytes waived_digest", "Every file was sent or waived."
    UPLOAD_RESUMED = "upload_resumed", _J.TRANSACTION_OPEN, "", "The upload continued in the same transaction."
    SENT_BEFORE_PROCESSING = "sent_before_processing", None, "status", "Processing had not begun when all of this had arrived ({status})."
    STATUS_CHANGED = "status_changed", None, "before status progress message n_images n_videos", "The server said of the dataset: {status}."
    TRIGGER_INTENDED = ("trigger_intended", _J.TRIGGERING, "status_before transaction_id tasks?",
        "The request to start processing was about to be sent; the dataset was {status_before}.")
    TRIGGER_ACKNOWLEDGED = "trigger_acknowledged", _J.PROCESSING, "http_status", "Processing was started: the server acknowledged it."
    TRIGGER_NOT_DELIVERED = "trigger_not_delivered", _J.UPLOADED, "detail", "The request to start processing was not delivered ({detail})."
    TRIGGER_REFUSED = "trigger_refused", _J.UPLOADED, "detail", "The server refused to start processing ({detail})."
    TRIGGER_UNKNOWN = "trigger_unknown", None, "detail conflict", "The outcome of the request to start processing was unknown ({detail})."
    TRIGGER_SETTLED_BEGUN = "trigger_settled_begun", _J.PROCESSING, "status", "The status {status} proved that processing had begun."
    TRIGGER_PROVED_BY_TASK = ("trigger_proved_by_task", _J.PROCESSING, "status task task_status",
        "The server's task {task} ({task_status}) proved that processing had begun.")
    TRIGGER_SETTLED_NOT_BEGUN = "trigger_settled_not_begun", _J.UPLOADED, "detail", "Processing had not begun ({detail})."
    TRIGGER_SETTLED_BY_HAND = "trigger_settled_by_hand", None, "began by status", "{by} settled whether processing had begun: {answer}."
    TRIGGER_ADOPTED = "trigger_adopted", _J.PROCESSING, "status", "Processing was already under way ({status})."
    TRIGGER_NOT_ADOPTED = ("trigger_not_adopted", None, "status",
        "Processing was under way ({status}), perhaps since before every file had arrived.")
    REPROCESS_INTENDED = ("reprocess_intended", None, "by task task_status started ended status_before tasks?",
        "{by} was about to have the dataset processed again.")
    REPROCESS_ACKNOWLEDGED = "reprocess_acknowledged", _J.PROCESSING, "by task", "Processing was started again by {by}: the server acknowledged it."
    REPROCESS_NOT_DELIVERED = "reprocess_not_delivered", None, "detail", "The request to process again was not delivered ({detail})."
    REPROCESS_REFUSED = "reprocess_refused", None, "detail", "The server refused to process again ({detail})."
    REPROCESS_UNKNOWN = "reprocess_unknown", None, "detail", "The outcome of the request to process again was unknown ({detail})."
    REPROCESS_SETTLED_BEGUN = ("reprocess_settled_begun", _J.PROCESSING, "by status task_status?",
        "Processing had begun again, asked for by {by}: the server's own word proved it ({status}).")
    REPROCESS_SETTLED_NOT_BEGUN = "reprocess_settled_not_begun", None, "detail", "Processing had not begun again ({detail})."
    REPROCESS_SETTLED_BY_HAND = "reprocess_settled_by_hand", None, "began by status", "{by} settled whether processing had begun again: {answer}."
    REPROCESS_ADOPTED = "reprocess_adopted", _J.PROCESSING, "status", "Processing was under way again already ({status})."
    ABORT_INTENDED = "abort_intended", None, "by task task_status", "{by} was about to have processing aborted on the server."
    ABORT_ACKNOWLEDGED = "abort_acknowledged", None, "task", "Processing was aborted on the server."
    ABORT_NOT_DELIVERED = "abort_not_delivered", None, "detail", "The request to abort processing was not delivered ({detail})."
    ABORT_REFUSED = "abort_refused", None, "detail", "The server did not abort processing ({detail})."
    ABORT_UNKNOWN = "abort_unknown", None, "detail", "The outcome of the request to abort processing was unknown ({detail})."
    ABORT_SETTLED = "abort_settled", None, "aborted task_status", "The server's task told what became of the abort: {task_status}."
    ORPHANS_FOUND = "orphans_found", None, "datasets", "Possibly ours and empty, after a request without a receipt: {orphans}."
    ADDITION_INTENDED = ("addition_intended", _J.ADDING,
        "batch attempt files size_bytes form reindex status n_images n_videos tasks",
        "The request to add {counted} to the dataset was about to be sent; the dataset was {status}.")
    ADDITION_ACKNOWLEDGED = "addition_acknowledged", _J.PROCESSING, "round batch attempt", "Round {round} began: the server acknowledged the addition."
    ADDITION_NOT_DELIVERED = ("addition_not_delivered", _J.READY, "batch attempt http_status detail",
        "The addition of batch {batch}, attempt {attempt}, was not delivered ({detail}).")
    ADDITION_REFUSED = ("addition_refused", _J.READY, "batch attempt http_status detail",
        "The server refused the addition of batch {batch}, attempt {attempt} ({detail}).")
    ADDITION_UNKNOWN = ("addition_unknown", None, "batch attempt files http_status detail conflict",
        "The outcome of the addition of batch {batch}, attempt {attempt}, was unknown ({detail}).")
    ADDITION_DOUBTED = ("addition_doubted", _J.ADDING, "batch status detail",
        "Whether batch {batch} has been added was in doubt again ({detail}).")
    ADDITION_LOOKED_UP = ("addition_looked_up", None, "batch by digest items wanted found twice complete missing?",
        "The server's own list had {found} of the {wanted} names that batch {batch} was sent under.")
    ADDITION_SETTLED_BEGUN = ("addition_settled_begun", _J.PROCESSING,
        "round batch attempt files size_bytes digest doubts known_by status detail",
        "Round {round} had begun with {counted}, as the server's own {known_by} proved ({detail}).")
    ADDITION_SETTLED_NOT_BEGUN = ("addition_settled_not_begun", _J.READY, "batch attempt doubts status detail n_images? n_videos? tasks?",
        "The addition of batch {batch} had not begun ({detail}).")
    ADDITION_SETTLED_BY_HAND = ("addition_settled_by_hand", None, "began by status batch attempt doubts round? files? size_bytes? digest?",
        "{by} settled whether the addition of batch {batch} had begun: {answer}.")
    ROUND_FINISHED = "round_finished", _J.READY, "round status by?", "Round {round} was processed; the dataset was {status}."
    ROUND_FAILED = ("round_failed", _J.READY, "round batch files doubts status message by?",
        "The server failed to process round {round}: {message}.")
    ROUND_UNSEEN = ("round_unseen", None, "round status detail",
        "The server had acknowledged round {round}, and did not show that its files were there ({detail}).")
    ROUND_TAKEN_UP = "round_taken_up", _J.PROCESSING, "round", "Round {round}, which an error of the dataset had ended, was followed again."
    REINDEX_INTENDED = "reindex_intended", None, "status", "The request to reindex the dataset was about to be sent; it was {status}."
    REINDEX_ACKNOWLEDGED = "reindex_acknowledged", None, "http_status", "The server began to reindex the dataset."
    REINDEX_UNKNOWN = "reindex_unknown", None, "detail", "The outcome of the request to reindex was unknown ({detail})."
    REINDEX_NOT_BEGUN = "reindex_not_begun", None, "detail", "The dataset was not reindexed ({detail})."
    REINDEX_FINISHED = "reindex_finished", None, "status", "The reindex was over; the dataset was {status}."
    FIELD_INTENDED = "field_intended", None, "field", "The request to make the custom metadata field {field} was about to be sent."
    FIELD_CREATED = "field_created", None, "field task", "The server made the custom metadata field {field}."
    FIELD_UNKNOWN = "field_unknown", None, "field detail", "The request to make the field {field} got no receipt ({detail})."
    FIELD_FAILED = "field_failed", None, "field detail", "The field {field} was not made ({detail})."
    VALUES_INTENDED = "values_intended", None, "field task files first last inserted errors", "The values of {counted} for the field {field} were about to be sent."
    VALUES_SENT = "values_sent", None, "field files", "The field {field} has values for {counted} more."
    VALUES_UNKNOWN = "values_unknown", None, "field detail", "The request with values for the field {field} got no receipt ({detail})."
    VALUES_NOT_SENT = "values_not_sent", None, "field detail", "The values for the field {field} were not taken ({detail})."
    VALUES_REFUSED = "values_refused", None, "field errors samples", "For the field {field}, the server refused {errors} values: {samples}."
    ENDPOINT_NOT_AVAILABLE = "endpoint_not_available", None, "endpoint detail", "The server does not offer {endpoint} ({detail})."
    EXPORT_INTENDED = "export_intended", None, "", "The request to export the dataset's list was about to be sent."
    EXPORT_STARTED = "export_started", None, "export_id", "The server began to export the dataset's list."
    EXPORT_UNKNOWN = "export_unknown", None, "detail", "The request to export the dataset's list got no receipt ({detail})."
    EXPORT_ENDED = "export_ended", None, "export_id detail", "The server's export of the dataset's list came to nothing ({detail})."
    DATASET_LISTED = ("dataset_listed", None, "by digest items files missing twice unexpected unclear rows",
        "By the server's own list, {counted} are in the dataset; {missing} missing, {twice} twice, {unexpected} never sent.")
    # fmt: on

    @classmethod
    def known(cls, word: str) -> "EventKind | None":
        """Return the kind of this word; None for one that another version has written."""
        found = cls._value2member_map_.get(word)
        return found if isinstance(found, cls) else None

    @classmethod
    def of(cls, state: FileState | AttemptOutcome) -> "EventKind":
        """Return the kind that records that a file or an attempt has become this."""
        return next(kind for kind in cls if kind.becomes is state)

    def job_state(self, facts: Mapping[str, Any]) -> JobState | None:
        """Return the state that a job is in after such an event; None where it stays in its own."""
        if self is EventKind.TRIGGER_SETTLED_BY_HAND:
            return JobState.PROCESSING if facts.get("began") else JobState.UPLOADED
        if self is EventKind.REPROCESS_SETTLED_BY_HAND:
            return JobState.PROCESSING if facts.get("began") else None
        if self is EventKind.ADDITION_SETTLED_BY_HAND:
            return JobState.PROCESSING if facts.get("began") else JobState.READY
        return self.becomes if isinstance(self.becomes, JobState) else None


# Kinds of events after which processing goes on that had failed.
STARTED_AGAIN = frozenset(
    {
        EventKind.REPROCESS_ACKNOWLEDGED, EventKind.REPROCESS_SETTLED_BEGUN, EventKind.REPROCESS_SETTLED_BY_HAND,
        EventKind.REPROCESS_ADOPTED,
    }
)  # fmt: skip
# Those after which a request to process again is no longer of unknown outcome, though nothing has begun.
REPROCESS_SETTLED = frozenset(
    {
        EventKind.REPROCESS_NOT_DELIVERED, EventKind.REPROCESS_REFUSED, EventKind.REPROCESS_SETTLED_NOT_BEGUN,
        EventKind.REPROCESS_SETTLED_BY_HAND,
    }
)  # fmt: skip
