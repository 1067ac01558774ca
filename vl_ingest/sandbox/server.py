"""The sandbox on a port of 127.0.0.1, in a thread of this process."""

import asyncio
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vl_ingest.sandbox.app import App
from vl_ingest.sandbox.faults import FaultPlan, parse_fault
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.rules import FRAME_FOLDERS, TASKS, Processing, Rules, parse_without
from vl_ingest.sandbox.store import Store

HOST = "127.0.0.1"

Transports = dict[tuple[str, int], asyncio.Transport]


class Sandbox:
    """A stand-in server; a context manager, or `serve_forever` in the foreground.

    `root` keeps the record; a sandbox on the same folder goes on where the last one ended. None: a temporary
    folder. With `credentials` (API key, secret) every request wants a token made with them. `draft_s` and
    `indexing_s` are the seconds that the status lags behind the trigger, and that processing takes; `adding_s`,
    `reindexing_s`, `exporting_s` and `values_s` those that the other work takes. `without` names features (of
    `rules.FEATURES`) that are answered with 404; `tasks` is a key of `rules.TASKS`.
    With `replaces` a second file of a name takes the place of the first; otherwise both are in the dataset.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        faults: Sequence[str] = (),
        port: int = 0,
        credentials: tuple[str, str] | None = None,
        max_request_bytes: int | None = None,
        draft_s: float = 0.0,
        indexing_s: float = 0.0,
        old_statuses: bool = False,
        processing_error: str | None = None,
        keep_files: bool = False,
        check_images: bool = True,
        adding_s: float = 0.0,
        reindexing_s: float = 0.0,
        exporting_s: float = 0.0,
        values_s: float = 0.0,
        without: Sequence[str] = (),
        tasks: str = "trigger",
        tasks_lag_s: float = 0.0,
        list_drafts: bool = True,
        frame_folder: str = "name",
        object_store: bool = False,
        replaces: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults = FaultPlan([parse_fault(text) for text in faults])
        if tasks not in TASKS:
            raise ValueError(f"Unknown behaviour of tasks: {tasks!r}. There are {', '.join(TASKS)}.")
        if frame_folder not in FRAME_FOLDERS:
            raise ValueError(
                f"Unknown folder of frames: {frame_folder!r}. There are {', '.join(FRAME_FOLDERS)}."
            )
        rules = Rules(
            credentials, max_request_bytes, check_images, keep_files, parse_without(without), tasks, tasks_lag_s,
            list_drafts, frame_folder,
        )  # fmt: skip
        self._temporary = tempfile.TemporaryDirectory(prefix="vl-sandbox-") if root is None else None
        self._root = Path(self._temporary.name) if self._temporary else root or Path()
        self._port = port
        self._bucket_port = 0 if object_store else None
        self._transports: Transports = {}
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.record = Record(self._root)
        processing = Processing(
            draft_s,
            indexing_s,
            processing_error,
            old_statuses,
            adding_s,
            reindexing_s,
            exporting_s,
            values_s,
            replaces,
        )
        self._store = Store(processing, clock, self.record.entries())
        self._app = App(
            self.record, self._store, self._faults, rules, processing, self._reset, self._bucket, self._root
        )

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{HOST}:{self._port}"

    def add_fault(self, text: str) -> None:
        """Misbehave in one more way from now on."""
        self._faults.add(parse_fault(text))

    def clear_faults(self) -> None:
        """Behave from now on; answers that a fault holds back are given at once."""
        self._faults.clear()

    def add_dataset(self, dataset_id: str, name: str, transaction_id: int) -> None:
        """Make a dataset with an open transaction that is known from elsewhere; what is there stays."""
        entries: list[dict[str, Any]] = []
        if not self._store.has(dataset_id):
            entries.append({"kind": "dataset_created", "dataset_id": dataset_id, "name": name})
        if not self._store.has(dataset_id, transaction_id):
            entries.append(
                {"kind": "transaction_opened", "dataset_id": dataset_id, "transaction_id": transaction_id}
            )
        self._app.commit(*entries)

    def held(self, dataset_id: str) -> dict[str, int]:
        """Return how often a dataset holds the files of each name, as its exports say."""
        return self._app.held(dataset_id)

    def __enter__(self) -> "Sandbox":
        try:
            self.start_listening()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and remove the temporary folder if there is one."""
        self.stop_listening()
        self.record.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def start_listening(self) -> None:
        """Listen; returns when connections are accepted."""
        listeners = [_listener(self._port)]
        self._port = listeners[0].getsockname()[1]
        if self._bucket_port is not None:
            try:
                listeners.append(_listener(self._bucket_port))
            except OSError:
                listeners[0].close()
                raise
            self._bucket_port = listeners[1].getsockname()[1]
        self._app.stopping = False
        config = uvicorn.Config(
            self._app, http=_protocol(self._transports), ws="none", lifespan="off", loop="asyncio",
            log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, args=(self._server, listeners), name="sandbox")
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        if not self._server.started:
            raise RuntimeError("The sandbox's server ended before it listened.")

    def stop_listening(self) -> None:
        """Refuse connections and abort those that are open."""
        if self._server is None or self._thread is None:
            return
        self._app.stopping = True
        self._server.should_exit = True
        self._thread.join()
        self._server = self._thread = None

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Be away for the length of the block: an outage."""
        self.stop_listening()
        try:
            with ExitStack() as held:  # bound and silent, so that the system gives the ports to nobody
                for port in filter(None, (self._port, self._bucket_port)):
                    held.enter_context(_listener(port))
                yield
        finally:
            self.start_listening()

    def serve_forever(self, listening: Callable[[str], None]) -> None:
        """Serve until SIGINT or SIGTERM; `listening` is told the URL. For the main thread."""
        stop = threading.Event()
        before = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self:
                listening(self.url)
                while not stop.wait(1.0):
                    pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _bucket(self) -> str | None:
        return None if self._bucket_port is None else f"http://{HOST}:{self._bucket_port}"

    def _serve(self, server: uvicorn.Server, listeners: list[socket.socket]) -> None:
        with ExitStack() as open_ones:
            for listener in listeners:
                open_ones.enter_context(listener)
            asyncio.run(self._until_stopped(server, listeners))

    async def _until_stopped(self, server: uvicorn.Server, listeners: list[socket.socket]) -> None:
        serving = asyncio.create_task(server.serve(listeners))
        while not serving.done():
            await asyncio.sleep(0.02)
            if server.should_exit:  # also what connects until uvicorn has noticed
                for transport in list(self._transports.values()):
                    transport.abort()
        await serving

    def _reset(self, client: tuple[str, int]) -> None:
        """Reset a client's connection. Only the transport can, which ASGI does not show."""
        transport = self._transports.get(client)
        if transport is not None:
            # Closed without lingering, TCP sends RST instead of FIN.
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


def _listener(port: int) -> socket.socket:
    # Named as TCP, or asyncio would leave Nagle's algorithm on: 40 ms for each answer on a kept connection.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _protocol(transports: Transports) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, taught to say which transport belongs to which client."""

    class Traced(H11Protocol):
        """Registers its transport by the client's address."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            super().connection_made(transport)
            if self.client is not None:
                transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                transports.pop(self.client, None)
            super().connection_lost(exc)

    return Traced
