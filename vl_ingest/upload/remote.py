"""The steps before the files: create the dataset, open the transaction.

Both are GETs with side effects and have no key to make them idempotent. When the answer is lost they are made
again, and the possible orphan goes on record: by its id, where the server lists its datasets. It is neither used nor deleted.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from vl_ingest.domain.errors import Conflict, OutcomeUnknown, Redirected, RequestError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import JobState
from vl_ingest.run.asking import Asking
from vl_ingest.run.context import Context
from vl_ingest.run.retry import CREATE, retry_through_outages

_Making = tuple[
    str, str, EventKind, EventKind, EventKind
]  # what it does, makes; the intent, a lost answer, a failure
CREATING = (CREATE, "dataset", EventKind.CREATE_INTENDED, EventKind.CREATE_UNKNOWN, EventKind.CREATE_FAILED)
LIST = "the list of datasets"
NOTHING: Mapping[str, Any] = MappingProxyType({})
OPENING = (
    "open a transaction", "transaction",
    EventKind.OPEN_INTENDED, EventKind.OPEN_UNKNOWN, EventKind.OPEN_FAILED,
)  # fmt: skip


def prepare(context: Context) -> None:
    """Take the job to a dataset and an open transaction."""
    context.check_may_continue()
    job = context.reload()
    if job.state is JobState.CREATED:

        def created(dataset_id: str) -> None:
            facts = {"dataset_id": dataset_id}
            context.step(JobState.CREATED, EventKind.DATASET_CREATED, facts, **facts)

        known = named(context.asking, job.name)
        if known:
            text = f"The server has a dataset named {job.name!r} already ({', '.join(known)}); this makes another one."
            context.observer.notice("warning", text)
        facts = {} if known is None else {"known": known}
        dataset_id = _make(context, CREATING, lambda: context.api.create_dataset(job.name), created, facts)
        context.observer.notice("step", f"Created dataset {dataset_id}.")
        job = context.reload()
    if job.state is JobState.DATASET_CREATED:
        dataset_id = context.dataset_id
        _name_orphans(context)

        def opened(transaction_id: str) -> None:
            facts = {"transaction_id": transaction_id}
            context.step(JobState.DATASET_CREATED, EventKind.TRANSACTION_OPENED, facts, **facts)

        transaction_id = _make(context, OPENING, lambda: context.api.open_transaction(dataset_id), opened)
        context.observer.notice("step", f"Opened transaction {transaction_id}.")
        job = context.reload()
    if job.state is JobState.UPLOADED:
        context.step(JobState.UPLOADED, EventKind.UPLOAD_RESUMED, {})


def named(asking: Asking, name: str) -> list[str] | None:
    """Return the ids of the server's datasets of a name; None where it does not list them."""
    try:
        listed = asking.read(LIST, asking.quick.datasets)
    except Conflict:
        return None
    return None if listed is None else [dataset.id for dataset in listed if dataset.name == name]


def _name_orphans(context: Context) -> None:
    """After a request to create that got no receipt, name the datasets of that name that were not there before it."""
    events, job = context.ledger.events, context.reload()
    intents = list(events.history(job.id, EventKind.CREATE_INTENDED))
    certain = events.count(job.id, EventKind.CREATE_FAILED) + events.count(job.id, EventKind.DATASET_CREATED)
    if len(intents) <= certain or events.last(job.id, EventKind.ORPHANS_FOUND) is not None:
        return
    before = intents[0].facts.get("known")
    if before is None:
        return
    known = {*before, job.dataset_id}
    new = [dataset_id for dataset_id in named(context.asking, job.name) or () if dataset_id not in known]
    if new:
        context.note(EventKind.ORPHANS_FOUND, datasets=new)
        context.observer.notice(
            "warning", f"Possibly ours and empty, after a request without a receipt: {', '.join(new)}."
        )


def _make(
    context: Context, making: _Making, request: Callable[[], str], record: Callable[[str], None],
    facts: Mapping[str, Any] = NOTHING,
) -> str:  # fmt: skip
    doing, thing, intended, unknown, failed = making
    warned = False

    def recorded() -> str:
        nonlocal warned
        context.ledger.jobs.intend(context.run, intended, **facts)
        try:
            remote_id = request()
        except (OutcomeUnknown, Redirected) as error:
            context.note(unknown, detail=str(error), http_status=error.http_status)
            if not warned:  # each of them is on record
                text = f"The request to {doing} got no receipt: an extra {thing} may exist on the server."
                context.observer.notice("warning", text)
            warned = True
            raise
        except RequestError as error:
            context.note(failed, detail=str(error), http_status=error.http_status)
            raise
        record(remote_id)  # the receipt, before anything else is written or told
        return remote_id

    return retry_through_outages(context, doing, recorded)
