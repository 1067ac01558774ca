"""The steps before the files: create the dataset, open the transaction.

Both are GETs with side effects and have no key to make them idempotent. When the answer is lost they are made
again, and the possible orphan goes on record.
"""

from collections.abc import Callable

from vl_ingest.domain.errors import OutcomeUnknown, Redirected, RequestError
from vl_ingest.domain.model import Job, JobState
from vl_ingest.run.context import Context
from vl_ingest.run.retry import CREATE, retry_through_outages


def prepare(context: Context) -> Job:
    """Return the job with a dataset and an open transaction."""
    job = context.reload()
    if job.state is JobState.CREATED:
        dataset_id = _make(context, "create", lambda: context.api.create_dataset(job.name))
        context.step(
            JobState.CREATED, JobState.DATASET_CREATED, "dataset_created",
            facts={"dataset_id": dataset_id}, dataset_id=dataset_id,
        )  # fmt: skip
        context.observer.notice("step", f"Dataset {dataset_id} is created.")
        job = context.reload()
    if job.state is JobState.DATASET_CREATED:
        dataset_id = context.dataset_id
        transaction_id = _make(context, "open", lambda: context.api.open_transaction(dataset_id))
        context.step(
            JobState.DATASET_CREATED, JobState.TRANSACTION_OPEN, "transaction_opened",
            facts={"transaction_id": transaction_id}, transaction_id=transaction_id,
        )  # fmt: skip
        context.observer.notice("step", f"Transaction {transaction_id} is open.")
        job = context.reload()
    if job.state is JobState.UPLOADED:
        context.step(JobState.UPLOADED, JobState.TRANSACTION_OPEN, "upload_resumed")
        job = context.reload()
    return job


def _make(context: Context, kind: str, request: Callable[[], str]) -> str:
    doing = {"create": CREATE, "open": "open a transaction"}[kind]

    def recorded() -> str:
        context.ledger.jobs.intend(context.run, f"{kind}_intended")
        try:
            return request()
        except (OutcomeUnknown, Redirected) as error:
            context.note(f"{kind}_unknown", detail=str(error))
            context.observer.notice(
                "warning", f"The answer to '{doing}' was lost: one more than needed may exist on the server."
            )
            raise
        except RequestError as error:
            context.note(f"{kind}_failed", detail=str(error))
            raise

    return retry_through_outages(context, doing, recorded)
