"""The ledger's work on many files, without disk and network: how long each phase takes.

    python phases.py FILES RESULT

Writes microseconds a file (for `count` and `status`: a file of the job) to RESULT, as JSON.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Facts, FileState, Found, JobState
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.exchange import Claim, Receipt
from vl_ingest.ledger.summary import summarise

CHUNK, BATCH = 1000, 50


def main(files: int, result: Path) -> None:
    """Go through a job's phases on a new ledger."""
    taken: dict[str, float] = {}

    def timed(name: str, phase: Callable[[], None]) -> None:
        began = time.perf_counter()
        phase()
        taken[name] = (time.perf_counter() - began) / files * 1e6

    with tempfile.TemporaryDirectory() as place, closing(Ledger(Path(place) / "ledger.db")) as ledger:
        job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
        this = ledger.runs.take(job.id, "host", 1, "benchmark")
        dataset, transaction = {"dataset_id": "d"}, {"transaction_id": "1"}
        ledger.jobs.step(job.id, this, JobState.CREATED, EventKind.DATASET_CREATED, dataset, **dataset)
        ledger.jobs.step(
            job.id, this, JobState.DATASET_CREATED, EventKind.TRANSACTION_OPENED, transaction, **transaction
        )

        def scan() -> None:
            for start in range(0, files, CHUNK):
                numbers = range(start, min(files, start + CHUNK))
                ledger.files.add(
                    this, [Found(f"{n // CHUNK}/{n}.jpg", Facts(n * 7919 % 500_000 + 1, n)) for n in numbers]
                )

        def claim_and_record() -> None:
            after = 0
            while ahead := ledger.files.pending(job.id, after, 40 * BATCH):
                after = ahead[-1].id
                for start in range(0, len(ahead), BATCH):
                    (batch,) = ledger.batches.exchange(this, "1", [], [Claim(ahead[start : start + BATCH])])
                    receipt = Receipt(batch, ["0" * 64] * len(batch.files), 202)
                    ledger.batches.exchange(this, "1", [receipt], [])

        timed("scan into the ledger", scan)
        timed("claim and record", claim_and_record)
        timed("scan again, all known", scan)
        timed(
            "count",
            lambda: None if ledger.files.counts(job.id)[FileState.SENT] == files else sys.exit("lost"),
        )
        timed("status", lambda: None if summarise(ledger, job.id).counts.total == files else sys.exit("lost"))
    result.write_text(json.dumps(taken))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
