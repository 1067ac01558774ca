"""Settle what an earlier run left open, before anything new is sent."""

from datetime import datetime

from vl_ingest import clock
from vl_ingest.couriers.away import ON_RECORD_S
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileRow, FileState
from vl_ingest.domain.naming import files_text
from vl_ingest.run.away import left_away
from vl_ingest.run.context import Context
from vl_ingest.upload.scan import check_source


def reconcile(context: Context) -> None:
    """Turn what a dead run left in flight into unknown outcomes, and settle these by `--on-unknown`.

    Called under the job's lock: no other run can have anything in flight.
    """
    lost = context.ledger.batches.abandon_in_flight(context.run, died=True)
    if lost:
        context.observer.notice(
            "step", f"An earlier run ended without knowing whether {files_text(lost)} had arrived."
        )
    if context.settings.on_unknown is OnUnknown.HOLD:
        return
    settled = 0
    for file in list(context.ledger.files.rows(context.job.id, FileState.UNKNOWN)):
        context.check_may_continue()
        _settle(context, file)
        settled += 1
    if settled:
        context.observer.notice(
            "step",
            f"{files_text(settled)} of unknown delivery will be sent again, possibly for the second time.",
        )


def wait_for_couriers(context: Context) -> None:
    """Wait until nothing can be on its way that an earlier run gave to workers of other hosts.

    No host's clock is trusted for that: what was left when it went on record counts from now, as this run holds the
    job, and no other can put more on record.
    """
    began = clock.monotonic()
    for away in left_away(context):
        had_s = (datetime.fromisoformat(away.facts["until"]) - away.at).total_seconds()
        left_s = began + min(had_s, ON_RECORD_S) - clock.monotonic()
        if left_s > 0:
            with context.waiting(
                f"Waiting {left_s:.0f} s: workers on {away.facts['hosts']} may still be sending for an earlier run."
            ):
                context.pause(left_s)
        context.note(EventKind.COURIERS_BACK, of_run=away.run_id)


def _settle(context: Context, file: FileRow) -> None:
    """Send the file again as it is on disk now."""
    ledger, by = context.ledger.decisions, "--on-unknown resend"
    try:
        seen = context.source.look(file.path)
    except FileTrouble as trouble:
        check_source(context)
        after = FileState.MISSING if trouble.state == FileState.MISSING else FileState.PENDING
        ledger.settle_unknown(context.job.id, context.run, file, after, by)
        return
    if seen != file.facts:
        ledger.settle_unknown(context.job.id, context.run, file, FileState.CHANGED, by, seen)
    else:
        ledger.settle_unknown(context.job.id, context.run, file, FileState.PENDING, by)
