"""The workers of a Dask cluster. A call is for one worker, by its address; Dask neither moves nor repeats it.

Where a worker dies, Dask may run its calls again under the same address; `task` refuses them there.

Dask's client lives in an event loop of this module's own. The usual one calls back in a single thread of the whole
process, where a result that never comes, as when a client is closed, keeps every other result from being heard.
"""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from vl_ingest import clock
from vl_ingest.domain.errors import UsageError

NEEDS = "--dask needs another package: pip install 'vl-ingest[dask]'."
CONNECT_S = 5.0
ANSWER_S = 10.0  # of the scheduler
LEAVE_S = 3.0


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
        begun: Future[asyncio.AbstractEventLoop] = Future()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._live(begun),), name="cluster", daemon=True
        )
        self._thread.start()
        self._loop = begun.result(ANSWER_S)

    def workers(self) -> Mapping[str, int]:
        """Return the threads of each worker. Raises `OSError` where there is no scheduler, or none that answers."""
        client = self._connected()
        try:
            known: Mapping[str, int] = self._ask(_threads(client))
        except OSError as exc:
            raise OSError(f"the scheduler at {self._address} does not answer: {_words(exc)}") from exc
        return known

    def submit(self, worker: str, function: Callable[..., Any], *values: Any) -> "Future[Any]":
        """Have a call run by this worker and no other, once."""
        return self._begin(_call(self._connected(), worker, function, values))

    def broadcast(self, workers: Sequence[str], function: Callable[..., Any], *values: Any) -> None:
        """Have a call run at once, beside what the workers do."""
        client = self._client
        if client is not None:
            self._begin(_tell(client, workers, function, values))

    def close(self) -> None:
        """Leave the cluster. What is not over yet is not heard of any more."""
        self._leave()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(LEAVE_S)

    # In the caller's thread

    def _connected(self) -> Any:
        """Return a client that is connected, or will be. Raises `OSError`."""
        if self._client is None or self._client.status not in ("running", "connecting"):
            self._leave()
            try:
                self._client = self._ask(self._connect())
            except (OSError, ValueError) as exc:
                raise OSError(f"there is no Dask scheduler at {self._address}: {_words(exc)}") from exc
        return self._client

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError):  # the scheduler does not answer
                self._ask(_close(client))

    def _ask(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Return what comes of it. Raises `OSError` where that takes too long."""
        return self._begin(asyncio.wait_for(question, ANSWER_S)).result(2 * ANSWER_S)

    def _begin(self, what: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    # In the loop

    async def _live(self, begun: "Future[asyncio.AbstractEventLoop]") -> None:
        begun.set_result(asyncio.get_running_loop())
        await self._ending.wait()

    async def _connect(self) -> Any:
        client = self._make(
            self._address, asynchronous=True, timeout=CONNECT_S, set_as_default=False,
            name=f"vl-ingest-{clock.now():%H%M%S}",
        )  # fmt: skip
        try:
            return await client
        except BaseException:
            await _close(client)
            raise


async def _threads(client: Any) -> dict[str, int]:
    if client.scheduler is None:
        raise ConnectionError("the connection was closed")
    known = (await client.scheduler.identity())["workers"]
    return {address: facts["nthreads"] for address, facts in known.items()}


async def _call(client: Any, worker: str, function: Callable[..., Any], values: Sequence[Any]) -> Any:
    done = client.submit(
        function, *values, workers=[worker], allow_other_workers=False, pure=False, retries=0,
        key=f"vl-ingest-{uuid.uuid4()}",
    )  # fmt: skip
    try:
        return await done
    except CancelledError as exc:  # not of this coroutine: Dask says so
        raise ConnectionError("the connection to the scheduler was lost") from exc


async def _tell(
    client: Any, workers: Sequence[str], function: Callable[..., Any], values: Sequence[Any]
) -> None:
    await client.run(function, *values, workers=list(workers), wait=False, on_error="ignore")


async def _close(client: Any) -> None:
    with contextlib.suppress(OSError):  # it is given up all the same
        await asyncio.wait_for(client.close(), LEAVE_S)


def _words(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
