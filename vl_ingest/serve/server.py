"""The live page on a port, in a thread of this process."""

import asyncio
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from os import PathLike
from types import TracebackType

import uvicorn

from vl_ingest.ledger.reader import Reader
from vl_ingest.serve.app import App
from vl_ingest.serve.guard import Guard, is_loopback
from vl_ingest.serve.scenes import Scenes

STARTED_LOOK_S = 0.005
GRACE_S = 2  # for answers that are on their way when it ends


class LivePage:
    """The page of a ledger; a context manager, or `serve_forever` in the foreground.

    On a host that other machines can reach, a token is made; `url` holds it. Raises `OSError` where it can't listen.
    """

    def __init__(self, place: str | PathLike[str], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._scenes = Scenes(Reader(place))
        self._host = host
        self._port = port
        self._token = None if is_loopback(host) else secrets.token_urlsafe(24)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to open."""
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104  # no host is bound here
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self._port}/" + (f"?token={self._token}" if self._token else "")

    def __enter__(self) -> "LivePage":
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        app = App(self._scenes, Guard(self._host, self._port, self._token))
        config = uvicorn.Config(
            app.asgi, http="h11", ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
            access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip
        self._server = _Server(config, app)
        self._thread = threading.Thread(target=self._serve, args=(self._server, listener), name="live page")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = self._thread = None

    def serve_forever(self, listening: Callable[[str], None]) -> None:
        """Serve until SIGINT or SIGTERM; `listening` is told the address. For the main thread."""
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

    @staticmethod
    def _serve(server: "_Server", listener: socket.socket) -> None:
        with listener:
            asyncio.run(server.serve([listener]))


class _Server(uvicorn.Server):
    """Ends the streams first when it ends: it would wait for them, and they have no end of their own."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.close()
        await super().shutdown(sockets)
