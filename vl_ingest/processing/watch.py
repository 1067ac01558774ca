"""Follow processing on the server until it is done."""

from vl_ingest.domain import words
from vl_ingest.domain.errors import ProcessingFailed
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import JobState, StatusClass
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status

FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.5, 30.0, 1.3


def watch(context: Context) -> None:
    """Take the job from `processing` to `ready`, through outages, however long it takes.

    An unknown word is not terminal. Raises `ProcessingFailed` when the server reports a failure.
    """
    interval_s = FIRST_POLL_S
    word = None
    while True:
        status = read_status(context)
        if status.word != word:
            word, interval_s = status.word, FIRST_POLL_S
            context.observer.notice("step", f"The server says: {word}.")
        if status.status_class is StatusClass.DONE:
            context.step(JobState.PROCESSING, EventKind.JOB_READY, {})
            return
        if status.status_class is StatusClass.FAILED:
            context.step(JobState.PROCESSING, EventKind.JOB_ERRORED, {"message": status.message})
            raise failed(status.message)
        counts = context.ledger.files.counts(context.job.id)
        context.show(
            Progress(JobState.PROCESSING, counts, status=status.word, status_progress=status.progress)
        )
        context.pause(interval_s)
        interval_s = min(LONGEST_POLL_S, interval_s * GROWTH)


def failed(message: str | None) -> ProcessingFailed:
    """Return the error for a dataset that the server could not process."""
    return ProcessingFailed(
        f"The server could not process the dataset: {words.clause(message or 'it does not say why')}. Every file was "
        "delivered. To start over, run the same command with `--new`."
    )
