"""What other runs of the job have left with workers of other hosts, as far as it is on record."""

from datetime import datetime

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event
from vl_ingest.run.context import Context


def left_away(context: Context) -> list[Event]:
    """Return, of each other run that has not said since that nothing is on its way, when it last said what is."""
    left: dict[int | None, Event] = {}
    for event in context.ledger.events.history(
        context.job.id, EventKind.COURIERS_AWAY, EventKind.COURIERS_BACK
    ):
        if event.kind == EventKind.COURIERS_AWAY:
            left[event.run_id] = event
        else:
            left.pop(event.facts.get("of_run", event.run_id), None)
    left.pop(context.run.id, None)
    return list(left.values())


def waited_out_at(context: Context) -> datetime | None:
    """Return when that was last waited out, by any run; None: it never had to be."""
    history = context.ledger.events.history(context.job.id, EventKind.COURIERS_BACK)
    return max((event.at for event in history if "of_run" in event.facts), default=None)
