"""Listening for a stop that somebody asks for: it is asked for in the ledger, and each run looks there while it works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vl_ingest.domain.errors import Stopped
from vl_ingest.domain.events import EventKind
from vl_ingest.run.context import Context

LOOK_EVERY_S = 1.0


@contextmanager
def listening(context: Context, begun: int) -> Iterator[None]:
    """Halt the run when somebody asks for it, behind event number `begun`, or when it may not go on.

    So the lease is kept, too, while everybody else waits for the server.
    """
    over = threading.Event()

    def listen(seen: int) -> None:
        ledger, job_id = context.ledger, context.job.id
        try:
            while not over.wait(LOOK_EVERY_S):
                upto = ledger.jobs.get(job_id).event_count
                for event in ledger.events.history(job_id, EventKind.STOP_ASKED, after=seen):
                    command = event.facts.get("command", "stop")
                    more = "" if command == "cancel" else " Run the same command again to continue."
                    raise Stopped(f"Stopped by {event.facts.get('by')}, with `vl-ingest {command}`.{more}")
                seen = upto
                context.check_may_continue()
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            context.cancel_token.cancel(exc)

    thread = threading.Thread(target=listen, args=(begun,), name="listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
