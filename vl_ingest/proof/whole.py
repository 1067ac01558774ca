"""All that `verify` checks, in its order: the record, a report, the files on disk, the dataset, each file in it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vl_ingest.domain.checks import Check
from vl_ingest.domain.errors import CredentialsRefused, Differs, GaveUp, RequestError, UsageError
from vl_ingest.domain.model import DatasetStatus, Job, JobState, StatusClass
from vl_ingest.ledger import Ledger
from vl_ingest.proof.dataset import TellDifference, verify_dataset
from vl_ingest.proof.folder import verify_folder
from vl_ingest.proof.report import verify_report
from vl_ingest.proof.verify import verify_record, verify_server
from vl_ingest.report import NEEDS
from vl_ingest.run.asking import Asking
from vl_ingest.source import Source

if TYPE_CHECKING:  # without the server, no HTTP is needed
    from vl_ingest.server.api import Api

LISTED = (JobState.PROCESSING, JobState.READY)  # states of jobs whose dataset may be listed


def check_head(head: str | None) -> None:
    """Raise `UsageError` for what is not the hash of an event."""
    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise UsageError(
            "Invalid --head: give the whole hash of 64 letters and digits, as a run prints it at its end."
        )


def checks(
    ledger: Ledger, job: Job, *, head: str | None, report: Path | None, source: Source | None,
    compare: Callable[[Source], Check], api: "Callable[[], Api] | None", differs: TellDifference | None = None,
) -> Iterator[Check]:  # fmt: skip
    """Yield each check as it is made; without `source` the files are left out, without `api` the server is.

    `compare` holds the sent files against the source. The server is asked for each file, and `differs` told of those
    that are not there once; without it that is left out. Raises `GaveUp` where the server gives no answer.
    """
    yield from verify_record(ledger, job.id, head)
    if report is not None:
        try:
            yield verify_report(ledger, job.id, report)
        except ImportError as exc:
            raise UsageError(f"{NEEDS} ({exc})") from exc
    if source is not None:
        yield compare(source)
        if (late := verify_folder(ledger, job, source)) is not None:
            yield late
    if api is not None:
        server = api()
        try:
            said = _said(ledger, server, job)
        except RequestError as exc:
            raise GaveUp(
                f"Could not read the dataset's status: {exc}. Try again, or skip the server with `--offline`."
            ) from exc
        yield said
        if differs is not None and job.state in LISTED and is_ready(said.facts.get("status")):
            from vl_ingest.server.optional import Extras

            yield verify_dataset(Asking(ledger, job, Extras.beside(server)), differs)


def _said(ledger: Ledger, server: "Api", job: Job) -> Check:
    """Return what the server says; a token that it refuses is replaced first. Raises `Refused` where there is no other."""
    while True:
        try:
            return verify_server(ledger, server, job)
        except CredentialsRefused as exc:
            server.tokens.renew(exc)


def is_ready(word: object) -> bool:
    """Say whether a dataset of this status can be listed."""
    return isinstance(word, str) and DatasetStatus(word).status_class is StatusClass.DONE


def raise_what_differs(job: Job, made: list[Check]) -> None:
    """Raise `Differs` if a check did not hold."""
    if wrong := [check.name for check in made if check.held is False]:
        raise Differs(
            f"What was found differs from the record of job {job.id}: {', '.join(wrong)}. `vl-ingest report {job.id}` shows "
            "what is on record."
        )
