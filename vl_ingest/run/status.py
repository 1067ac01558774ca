"""The server's word on the dataset: read through outages, and put on record."""

from vl_ingest.domain.errors import Refused, RequestError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import DatasetStatus, StatusClass
from vl_ingest.run.context import Context
from vl_ingest.run.retry import retry_through_outages


def read_status(context: Context) -> DatasetStatus:
    """Read the dataset's status, through outages, and record it."""
    dataset_id = context.dataset_id
    status = retry_through_outages(
        context, "read the dataset's status", lambda: context.api.dataset_status(dataset_id)
    )
    context.ledger.jobs.see_status(context.run, context.job.id, status)
    return status


def see_unprocessed(context: Context) -> None:
    """Put on record that nothing has begun behind what was just sent, if the server says so when asked once.

    That is what processing under way may later be adopted on.
    """
    try:
        status = context.api.dataset_status(context.dataset_id)
    except (RequestError, Refused) as error:
        context.observer.notice("warning", f"Could not read the dataset's status ({error}).")
        return
    context.ledger.jobs.see_status(context.run, context.job.id, status)
    if status.status_class is StatusClass.NOT_BEGUN:
        context.note(EventKind.SENT_BEFORE_PROCESSING, status=status.word)
