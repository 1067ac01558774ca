"""Follow processing on the server until it is done."""

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import ProcessingFailed
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import DatasetStatus, JobState, StatusClass
from vl_ingest.domain.remote import Task
from vl_ingest.observers.observer import Progress
from vl_ingest.processing.evidence import creation_tasks
from vl_ingest.processing.stale import Earlier, has_ended_since
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status

FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.5, 30.0, 1.3


def watch(context: Context) -> None:
    """Take the job from `processing` to `ready`, through outages, however long it takes.

    An unknown word is not terminal: where it stays for a settling window, the server's task decides, if there is one that
    came to its end since the request to start processing.
    Raises `ProcessingFailed` when the server reports a failure.
    """
    interval_s, word, since = FIRST_POLL_S, None, clock.monotonic()
    earlier = Earlier.of(context)
    while True:
        status = read_status(context)
        if status.word != word:
            word, interval_s, since = status.word, FIRST_POLL_S, clock.monotonic()
            context.observer.notice("step", f"The server says: {word}.")
        if status.status_class is StatusClass.DONE:
            context.step(JobState.PROCESSING, EventKind.JOB_READY, {})
            return
        if status.status_class is StatusClass.FAILED:
            task = _task(context)
            if earlier is None or not earlier.still_told(task):
                raise _errored(context, status.message, task)
        stays = clock.monotonic() - since >= context.settings.settle_s
        if status.status_class is StatusClass.UNCLEAR and stays and _is_over(context, status):
            return
        counts = context.ledger.files.counts(context.job.id)
        context.show(
            Progress(JobState.PROCESSING, counts, status=status.word, status_progress=status.progress)
        )
        context.pause(interval_s)
        interval_s = min(LONGEST_POLL_S, interval_s * GROWTH)


def failed(job_id: str, message: str | None) -> ProcessingFailed:
    """Return the error for a dataset that the server could not process."""
    return ProcessingFailed(
        f"The server could not process the dataset: {words.clause(message or 'it does not say why')}. Every file was "
        f"delivered. Run `vl-ingest reprocess {job_id}` to let the server try again with what it has, or the same command "
        "with `--new` to send everything to another dataset."
    )


def _is_over(context: Context, status: DatasetStatus) -> bool:
    """Return whether the server's task says, under a word that nobody has explained, that processing is done."""
    task = _task(context)
    if task is None or not has_ended_since(context, task):
        return False
    if task.status.upper() != "COMPLETED":
        raise _errored(context, status.message, task)
    context.step(JobState.PROCESSING, EventKind.JOB_READY, {"task": task.id})
    context.observer.notice("step", f"The server's task is {task.status}.")
    return True


def _errored(context: Context, message: str | None, task: Task | None) -> ProcessingFailed:
    """Record that processing failed, and return the error; the task says why, too, perhaps better."""
    reason = None if task is None else task.error
    told = message if reason is None or reason == message else f"{message} ({reason})" if message else reason
    context.step(JobState.PROCESSING, EventKind.JOB_ERRORED, {"message": told}, message=told)
    return failed(context.job.id, told)


def _task(context: Context) -> Task | None:
    """Return the newest task of the dataset's creation, where it can be had."""
    tasks = creation_tasks(context.asking, context.dataset_id)
    return tasks[0] if tasks else None
