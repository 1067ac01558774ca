"""The workers of a Dask cluster. A call is for one worker, by its address; Dask neither moves nor repeats it.

Where a worker dies, Dask may run its calls again under the same address; `task` refuses them there.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from vl_ingest import clock
from vl_ingest.domain.errors import UsageError

NEEDS = "--dask needs another package: pip install 'vl-ingest[dask]'."
CONNECT_S = 5.0


class Cluster:
    """A Dask scheduler, by its address; after a lost connection another is made. For one thread, but for `broadcast`."""

    pinned = True

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as exc:
            raise UsageError(f"{NEEDS} ({exc})") from exc
        self._make: Any = distributed.Client
        self._address = address
        self._client: Any = None

    def workers(self) -> Mapping[str, int]:
        """Return the threads of each worker. Raises `OSError` where there is no scheduler."""
        client = self._connected()
        try:
            known = client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, KeyError) as exc:
            raise OSError(f"the scheduler at {self._address} does not answer: {exc}") from exc
        return {address: facts["nthreads"] for address, facts in known.items()}

    def submit(self, worker: str, function: Callable[..., Any], *values: Any) -> "Future[Any]":
        """Have a call run by this worker and no other, once."""
        try:
            done: Future[Any] = self._connected().submit(
                function, *values, workers=[worker], allow_other_workers=False, pure=False, retries=0,
                key=f"vl-ingest-{uuid.uuid4()}",
            )  # fmt: skip
        except RuntimeError as exc:  # the client was closed
            raise OSError(str(exc)) from exc
        return done

    def broadcast(self, workers: Sequence[str], function: Callable[..., Any], *values: Any) -> None:
        """Have a call run at once, beside what the workers do."""
        if self._client is not None and self._client.status == "running":
            self._client.run(function, *values, workers=list(workers), wait=False, on_error="ignore")

    def close(self) -> None:
        """Leave the cluster."""
        if self._client is not None:
            self._client.close(timeout=CONNECT_S)
            self._client = None

    def _connected(self) -> Any:
        if self._client is None or self._client.status not in ("running", "connecting"):
            self.close()
            try:
                self._client = self._make(
                    self._address,
                    timeout=CONNECT_S,
                    set_as_default=False,
                    name=f"vl-ingest-{clock.now():%H%M%S}",
                )
            except (OSError, ValueError) as exc:
                raise OSError(f"there is no Dask scheduler at {self._address}: {exc}") from exc
        return self._client
