"""Fixtures for tests of a run's parts: a real ledger and a real folder, and no server."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Facts, Found, JobState
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.runs import Lease
from vl_ingest.observers.observer import Observer
from vl_ingest.run.cancel import CancelToken
from vl_ingest.run.context import Context
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from vl_ingest.source.folder import Folder


@pytest.fixture
def make_context(tmp_path: Path) -> Iterator[Callable[..., Context]]:
    """Return a function that makes a run on a job with an open transaction and so many scanned files of a size."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    with Ledger(tmp_path / "ledger.db") as ledger:

        def make(
            files: int, size_bytes: int = 10, *, observer: Observer | None = None, **settings: Any
        ) -> Context:
            job = ledger.jobs.get_or_create(str(folder), "name", "http://server", {})
            run = ledger.runs.take(job.id, "host", os.getpid(), "test")
            found = []
            for number in range(files):
                path = folder / f"{number:03}.png"
                path.touch()
                os.truncate(path, size_bytes)
                found.append(Found(path.name, Facts(size_bytes, path.stat().st_mtime_ns)))
            ledger.files.add(run, found)
            for before, kind, ids in (
                (JobState.CREATED, EventKind.DATASET_CREATED, {"dataset_id": "d"}),
                (JobState.DATASET_CREATED, EventKind.TRANSACTION_OPENED, {"transaction_id": "1"}),
            ):
                ledger.jobs.step(job.id, run, before, kind, ids, **ids)
            return Context(
                ledger=ledger,
                api=Api("http://127.0.0.1:9", Tokens(None)),  # nobody listens there
                job=job,
                run=run,
                source=Folder(str(folder)),
                settings=Settings(**settings),
                cancel_token=CancelToken(),
                observer=observer or Observer(),
                lease=Lease(ledger.runs, run),
                started_at=clock.monotonic(),
            )

        yield make
