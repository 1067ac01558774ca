"""Addresses and answers of the live page."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from importlib.resources import files as resources
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vl_ingest.domain.errors import LedgerError, UsageError, VlIngestError
from vl_ingest.ledger import Ledger
from vl_ingest.serve.files import Wanted, file_scene, files_scene
from vl_ingest.serve.guard import HEADERS, POLICY, Guard
from vl_ingest.serve.live import Live, Parts
from vl_ingest.serve.scenes import Scene, Scenes

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
COOKIE_S = 30 * 86400
Key = tuple[str | None, bool]  # a job, None for the overview, and whether its chart shows the last hour
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class App:
    """What is answered. `asgi` is for a server; `close` ends every stream, in the server's event loop."""

    def __init__(self, scenes: Scenes, guard: Guard) -> None:
        self._scenes = scenes
        self._guard = guard
        self._live: Live[Key] = Live(self._parts)
        self._reporting = asyncio.Semaphore(1)
        self._static = {name: _static(name) for name in STATIC}
        routes = [
            Route("/", self._jobs),
            Route("/events", self._events),
            Route("/jobs/{job}", self._job),
            Route("/jobs/{job}/events", self._events),
            Route("/jobs/{job}/files", self._files),
            Route("/jobs/{job}/files/{number:int}", self._file),
            Route("/jobs/{job}/report", self._report),
            Route("/static/{name}", self._file_of_ours),
        ]
        inner = Starlette(
            routes=routes, exception_handlers={404: self._missing, VlIngestError: self._trouble}
        )
        self.asgi: ASGIApp = _Guarded(inner, self)

    def close(self) -> None:
        """End every stream."""
        self._live.close()

    # Pages

    async def _jobs(self, _request: Request) -> Response:
        return await self._page(self._overview, "/events")

    async def _job(self, request: Request) -> Response:
        job, hour = _key(request)
        query = "?span=hour" if hour else ""
        return await self._page(lambda: self._scenes.job(job or "", hour=hour), f"/jobs/{job}/events{query}")

    async def _files(self, request: Request) -> Response:
        given = request.query_params
        wanted = Wanted.read(given.get("state", ""), given.get("q", "").strip(), given.get("after"))
        return await self._page(lambda: files_scene(self._scenes, request.path_params["job"], wanted))

    async def _file(self, request: Request) -> Response:
        job, number = request.path_params["job"], request.path_params["number"]
        return await self._page(lambda: file_scene(self._scenes, job, number))

    async def _page(self, look: Callable[[], Scene], events: str = "") -> Response:
        scene = await run_in_threadpool(look)
        text = await run_in_threadpool(self._scenes.page, scene, events=events)
        return HTMLResponse(text)

    async def _report(self, request: Request) -> Response:
        """Return the report as `vl-ingest report` makes it; one at a time, since a large one is work."""
        from vl_ingest.report.page import to_html
        from vl_ingest.report.story import build

        def report(book: Ledger) -> str:
            return to_html(book, build(book, book.jobs.find(request.path_params["job"]).id))

        async with self._reporting:
            text = await run_in_threadpool(self._scenes.reader.ask, report)
        return HTMLResponse(text, headers={"Content-Security-Policy": _policy_of_report()})

    def _overview(self) -> Scene:
        """Return the overview, also where there is no ledger yet: it fills by itself."""
        try:
            return self._scenes.jobs()
        except LedgerError as exc:
            return Scene("jobs.html", "Jobs", {"jobs": "", **self._failed(exc)}, {})

    def _failed(self, exc: LedgerError) -> Parts:
        return {"trouble": self._scenes.part("trouble", text=str(exc))}

    # What is not a page

    async def _events(self, request: Request) -> Response:
        key = _key(request)
        await run_in_threadpool(self._parts, key)  # what can't be looked at is an error, not a stream
        return StreamingResponse(
            self._live.follow(key), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _file_of_ours(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            return await self._missing(request, UsageError(f"There is no {name} here."))
        return Response(self._static[name], media_type=STATIC[name])

    def _parts(self, key: Key) -> Parts:
        job, hour = key
        try:
            scene = self._scenes.jobs() if job is None else self._scenes.job(job, hour=hour)
        except LedgerError as exc:
            return self._failed(exc)
        return {**scene.parts, "trouble": "", "title": scene.title}

    # What went wrong

    async def _missing(self, _request: Request, exc: Exception) -> Response:
        text = str(exc) if isinstance(exc, UsageError) else "There is no such page."
        return HTMLResponse(self._said("Not found", text), 404)

    async def _trouble(self, request: Request, exc: Exception) -> Response:
        if isinstance(exc, UsageError):
            return await self._missing(request, exc)
        return HTMLResponse(self._said("The ledger can't be read", str(exc), again=True), 503)

    def _said(self, title: str, text: str, *, again: bool = False) -> str:
        return self._scenes.page(
            Scene(
                "trouble.html",
                title,
                {},
                {"text": text, "again": again, "events": "/events" if again else ""},
            )
        )

    def answer(self, request: Request) -> Response | None:
        """Return the answer to who may not ask, or has just shown the token; None for everybody else."""
        guard = self._guard
        why = guard.refusal(
            request.headers.get("host", ""), request.headers.get("origin"), request.url.scheme
        )
        if why is not None:
            return PlainTextResponse(why, 403)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("This page only shows.", 405)
        given = request.query_params.get("token")
        if guard.token is not None and given is not None and guard.knows(given):
            rest = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "token"])
            target = request.url.path + (f"?{rest}" if rest else "")
            # Not a redirect: a strict cookie would not be sent along one that another site or a message began.
            arrived = HTMLResponse(
                self._scenes.page(Scene("arrived.html", "Welcome", {}, {"target": target}))
            )
            arrived.set_cookie(
                guard.cookie, guard.token, max_age=COOKIE_S, httponly=True, samesite="strict", path="/"
            )
            return arrived
        if not guard.knows(request.cookies.get(guard.cookie)):
            text = "Open the address that `vl-ingest serve` has printed; it ends with the token."
            return HTMLResponse(self._said("A token is needed", text), 401)
        return None


class _Guarded:
    """Asks first whether there may be an answer, and puts the headers on every one."""

    def __init__(self, inner: ASGIApp, app: App) -> None:
        self._inner = inner
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._app.answer(Request(scope)) if Headers(scope=scope).get("host") else _nameless()
        await (refused or self._inner)(scope, receive, send_guarded)


def _nameless() -> Response:
    return PlainTextResponse("The request names no host.", 400)


def _key(request: Request) -> Key:
    return request.path_params.get("job"), request.query_params.get("span") == "hour"


def _static(name: str) -> bytes:
    text = resources(__package__).joinpath("static", name).read_bytes()
    if name == "page.css":  # the chart looks here as in the report
        text += resources("vl_ingest.report").joinpath("chart.css").read_bytes()
    return text


def _policy_of_report() -> str:
    """Return a policy that lets the report's own script run, by its hash, and no other."""
    page = resources("vl_ingest.report").joinpath("page.html").read_text("utf-8")
    scripts = [text for kind, text in _INLINE.findall(page) if kind == "script"]
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return POLICY.format(script=hashes, style="'unsafe-inline'")
