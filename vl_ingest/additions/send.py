"""One addition: one request on a connection of its own, in a thread, so that the run can be watched and stopped meanwhile."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble, Refused, RequestError
from vl_ingest.domain.model import Batch, JobState
from vl_ingest.domain.settings import Settings
from vl_ingest.domain.timetable import Timetable
from vl_ingest.observers.observer import Progress
from vl_ingest.run.context import Context
from vl_ingest.server.ahead import ReadAhead
from vl_ingest.server.archive import ArchiveBody
from vl_ingest.server.body import FilesBody
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.optional import Extras
from vl_ingest.server.pace import Pace

TICK_S, PROGRESS_EVERY_S = 0.1, 1.0
GRACE_S = 8.0  # a halted run waits so long for the answer
CUT_S = 0.5  # and then for the request to end


@dataclass(frozen=True)
class Receipt:
    """The server's acknowledgement, and the SHA-256 of each file, in order."""

    http_status: int
    sha256s: Sequence[str]


@dataclass(frozen=True)
class Failure:
    """No acknowledgement, and why; `sha256s` of the files that went out whole, in order."""

    error: RequestError | FileTrouble | Refused
    bytes_out: int
    sha256s: Sequence[str]


def goes_as_files(settings: Settings, batch: Batch) -> bool:
    """Return whether a batch goes as files: as many as a request of the first round holds. More go as an archive."""
    return len(batch.files) <= settings.batch_size and batch.size_bytes <= settings.batch_bytes


def body_of(context: Context, batch: Batch, *, reindex: bool) -> FilesBody | ReadAhead:
    """Return the body of the request that adds a batch."""
    timetable = Timetable(context.settings.bwlimit)
    pace = None if timetable.unlimited else Pace(timetable)
    if goes_as_files(context.settings, batch):
        fields = {"auto_reindex": "true" if reindex else "false"}
        return MultipartBody(context.source, batch.files, pace, fields)
    archive = ArchiveBody(context.source, batch.files, pace, auto_reindex=reindex)
    return ReadAhead(archive) if pace is None else archive


def send(context: Context, body: FilesBody | ReadAhead) -> Receipt | Failure | None:
    """Make the request once; None where the run was halted, and the request may still be under way."""
    came: list[Receipt | Failure | BaseException] = []

    def carry() -> None:
        try:
            with body:
                status = Extras.beside(context.api).add_media(context.dataset_id, body)
            came.append(Receipt(status, body.sha256s))
        except (RequestError, FileTrouble, Refused) as error:
            came.append(Failure(error, body.bytes_out, tuple(body.sha256s)))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            came.append(error)
        finally:
            over.set()

    over = threading.Event()
    token = context.cancel_token
    with token.on_its_way():
        threading.Thread(target=carry, name="addition", daemon=True).start()
        try:
            _watch(context, body, over)
        finally:
            if not over.is_set():
                body.cancel()
                over.wait(CUT_S)
    if not came:
        return None
    if isinstance(came[0], BaseException):
        raise came[0]
    return came[0]


def _watch(context: Context, body: FilesBody | ReadAhead, over: threading.Event) -> None:
    """Wait for the end of the request, or of a halted run's patience, and tell the observer meanwhile."""
    counts, shown_at = context.ledger.files.counts(context.job.id), 0.0
    while not over.wait(TICK_S):
        if context.cancel_token.cancelled and not context.cancel_token.grace_s(GRACE_S):
            return
        now = clock.monotonic()
        if now - shown_at >= PROGRESS_EVERY_S:
            shown_at = now
            stopping = context.cancel_token.requests if context.cancel_token.cancelled else None
            context.observer.progress(
                Progress(
                    JobState.ADDING, counts, bytes_moving=body.file_bytes_out, workers=1, stopping=stopping
                )
            )
