"""The endpoints put together, and the faults laid over them."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import jwt
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vl_ingest.sandbox.additions import Additions
from vl_ingest.sandbox.answers import PAGE, CutAnswer, Silence, changed, error, fault_answer, refused, success
from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry
from vl_ingest.sandbox.exports import Exports
from vl_ingest.sandbox.faults import Fault, FaultPlan
from vl_ingest.sandbox.fields import Fields
from vl_ingest.sandbox.ingestion import Ingestion
from vl_ingest.sandbox.media import held, media
from vl_ingest.sandbox.overview import Overview
from vl_ingest.sandbox.receive import Body
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.rules import Processing, Rules
from vl_ingest.sandbox.store import Refusal, Store
from vl_ingest.sandbox.tasks import Tasks

DEFAULT_HANG_S, DEFAULT_SLOW_S, DEFAULT_RATE = 3600.0, 1.0, 1024 * 1024
ELSEWHERE_S = 1.0

Reset = Callable[[tuple[str, int]], None]


class App:
    """The server's behaviour.

    `reset` aborts the connection of a client's address; `bucket` returns the address of the object store.
    """

    def __init__(
        self, record: Record, store: Store, faults: FaultPlan, rules: Rules, processing: Processing, reset: Reset,
        bucket: Callable[[], str | None], root: Path,
    ) -> None:  # fmt: skip
        self.stopping = False
        self.late: set[asyncio.Task[None]] = set()  # requests that are still to be carried out
        self._record = record
        self._store = store
        self._faults = faults
        self._rules = rules
        self._abort = reset
        self._bucket = bucket
        incoming, kept = root / "incoming", root / "files"
        incoming.mkdir(exist_ok=True)
        for left in incoming.glob("part-*"):  # by a sandbox that was killed
            left.unlink()
        self._numbers = itertools.count(record.last_request() + 1)
        self._started = time.monotonic()
        self._additions = Additions(store, rules, self._happens, incoming, kept)
        exports = Exports(record, store, rules, processing, self._happens, root / "exports", bucket)
        fields = Fields(record, store, processing, self._media_ids, incoming)
        self._states = (store.apply, exports.apply, fields.apply)
        endpoints = [
            *Ingestion(record, store, rules, self._happens, incoming, kept).endpoints(),
            *Overview(store, rules).endpoints(),
            *Tasks(store, rules, self._happens, fields.tasks).endpoints(),
            *exports.endpoints(),
            *self._additions.endpoints(),
            *fields.endpoints(),
        ]
        sandbox = [
            Route("/sandbox/record", self._read_record),
            Route("/sandbox/files", self._read_files),
            Route("/sandbox/media", self._read_media),
        ]
        handlers = {HTTPException: error, Exception: error}
        self._api = Starlette(routes=[*map(self._route, endpoints), *sandbox], exception_handlers=handlers)
        self._objects = Starlette(
            routes=[self._route(exports.bucket_endpoint())], exception_handlers=handlers
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request: by its port, of the API or of the object store."""
        bucket = self._bucket()
        of_store = bucket is not None and bucket.endswith(f":{scope['server'][1]}")
        await (self._objects if of_store else self._api)(scope, receive, send)

    def commit(self, *entries: Entry) -> None:
        """Record what has happened, and take it up."""
        self._record.append(*entries)
        for entry in entries:
            for apply in self._states:
                apply(entry)

    def held(self, dataset_id: str) -> dict[str, int]:
        """Return how often a dataset holds the files of each name."""
        return held(self._record, self._store, dataset_id)

    def _happens(self, work: str, name: str) -> Fault | None:
        return self._faults.next_work(work, self._since_start_s(), name)

    def _media_ids(self, dataset_id: str) -> set[str]:
        return {medium.media_id for medium in media(self._record, self._store, dataset_id)}

    def _route(self, endpoint: Endpoint) -> Route:
        return Route(endpoint.path, self._serve(endpoint), methods=[endpoint.method])

    def _serve(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if request.method == "HEAD":  # Starlette lets it through where GET is; here GET has effects
                raise HTTPException(405)
            number = next(self._numbers)
            fault = self._faults.next(endpoint.name, self._since_start_s())
            body: Body | None = None
            status: int | None = None
            try:
                if fault is not None and fault.kind == "reset-before":
                    return await self._reset(request)
                if fault is not None and fault.status and fault.early and not fault.done:
                    status = fault.status
                    return fault_answer(fault, close=True)
                if endpoint.feature in self._rules.without:
                    raise Refusal(404, "Not Found")
                if endpoint.guarded:
                    self._authorise(request)
                if endpoint.receive is not None:
                    self._limit(int(request.headers.get("content-length", 0)))
                    body = endpoint.receive(request)
                    await self._receive(request, body, fault)
                    fault = fault or await run_in_threadpool(self._named, endpoint, body)
                call = Call(request, number, body)
                response = await (
                    self._answer_later(endpoint, call, fault)
                    if fault is not None and fault.kind == "late"
                    else self._before(request, fault, endpoint.receipt)
                )
                if response is None:
                    answer = await self._answer(endpoint, call)
                    response = await self._after(request, fault, answer)
                status = None if isinstance(response, Silence) else response.status_code
                return response
            except Refusal as refusal:
                status = refusal.status
                return refused(refusal)
            except ClientDisconnect:
                return Silence()
            except Exception:
                status = 500
                raise
            finally:
                if body is not None:
                    body.discard()
                self._record.append(
                    {
                        "kind": "request", "number": number, "endpoint": endpoint.name, "method": request.method,
                        "path": request.url.path, "status": status, "fault": fault and fault.kind,
                        "authorization": "authorization" in request.headers,
                        "user_agent": request.headers.get("user-agent"),
                        "body_bytes": body.size_bytes if body is not None else 0,
                    }
                )  # fmt: skip

        return serve

    def _named(self, endpoint: Endpoint, body: Body) -> Fault | None:
        return self._faults.next_named(endpoint.name, self._since_start_s(), lambda: endpoint.names(body))

    async def _answer(self, endpoint: Endpoint, call: Call) -> Response:
        """Carry a request out, or refuse it; return the honest answer."""
        try:
            if endpoint.check is not None:
                call.checked = await run_in_threadpool(endpoint.check, call)
            entries, answer = endpoint.carry_out(call)
        except Refusal as refusal:
            return refused(refusal)
        self.commit(*entries)
        return success(answer, endpoint.receipt)

    async def _answer_later(self, endpoint: Endpoint, call: Call, fault: Fault) -> Response:
        """Lose the connection, and let the request be carried out when nobody waits for it any more."""
        if endpoint.check is not None:
            call.checked = await run_in_threadpool(endpoint.check, call)

        async def later() -> None:
            await self._sleep(_seconds(fault, DEFAULT_SLOW_S), fault)
            with contextlib.suppress(Refusal):
                self.commit(*endpoint.carry_out(call)[0])

        task = asyncio.get_running_loop().create_task(later())
        self.late.add(task)
        task.add_done_callback(self.late.discard)
        return await self._reset(call.request)

    async def _before(self, request: Request, fault: Fault | None, receipt: int) -> Response | None:
        """Return the answer of a fault that keeps the request from being carried out."""
        if fault is None:
            return None
        answer: Response | None = None
        if fault.status and not fault.done:
            answer = fault_answer(fault)
        elif fault.kind == "elsewhere":
            self._add_by_somebody(request, _seconds(fault, ELSEWHERE_S))
        elif fault.kind == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_disconnected(request), _seconds(fault, DEFAULT_HANG_S))
            answer = await self._reset(request)
        elif fault.kind in ("reset-after", "reset-inside"):
            answer = await self._reset(request)
        elif fault.kind == "html-lost":
            answer = HTMLResponse(PAGE, receipt)
        elif fault.kind == "redirect":
            answer = Response(status_code=307, headers=fault.headers(datetime.now(UTC)))
        return answer

    async def _after(self, request: Request, fault: Fault | None, answer: Response) -> Response:
        """Return the answer to a request as a fault lets it through; a refusal had no effect and stays."""
        if fault is None or answer.status_code >= 300:
            return answer
        if fault.kind == "lost-answer":
            return await self._reset(request)
        if fault.kind == "cut-answer":
            return CutAnswer(answer, lambda: self._reset(request))
        if fault.kind == "slow":
            await self._sleep(_seconds(fault, DEFAULT_SLOW_S), fault)
        return changed(answer, fault)

    def _add_by_somebody(self, request: Request, seconds: float) -> None:
        """Begin an addition that is not the client's, where one can be made."""
        dataset_id = request.path_params.get("dataset", "")
        if self._store.has(dataset_id):
            self.commit(*self._additions.by_somebody(dataset_id, seconds, "somebody-elses.jpg"))

    def _authorise(self, request: Request) -> None:
        if self._rules.credentials is None:
            return
        key, secret = self._rules.credentials
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refusal(401, "The token is missing.")
        try:
            if jwt.get_unverified_header(token).get("kid") != key:
                raise Refusal(401, "The token names an unknown key.")
            claims = jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                issuer="sdk",
                options={"require": ["sub", "iss", "iat", "exp"]},
            )
        except jwt.PyJWTError as exc:
            raise Refusal(401, f"The token is invalid: {exc}") from exc
        if claims["sub"] != key or not all(isinstance(claims[claim], int) for claim in ("iat", "exp")):
            raise Refusal(401, "The token's claims are wrong.")

    def _limit(self, size_bytes: int) -> None:
        limit = self._rules.max_request_bytes
        if limit is not None and size_bytes > limit:
            raise Refusal(413, f"The request is larger than {limit} bytes.")

    async def _receive(self, request: Request, body: Body, fault: Fault | None) -> None:
        """Take the body; only its beginning where a fault wants the connection reset within it."""
        length = int(request.headers.get("content-length", 0))
        stop = rate = None
        if fault is not None and fault.kind == "reset-inside":
            stop = length // 2 if fault.bytes is None else fault.bytes
        if fault is not None and fault.kind == "slow-read":
            rate = fault.rate or DEFAULT_RATE
        async for piece in request.stream():
            if piece:
                body.write(piece)
            self._limit(body.size_bytes)
            if stop is not None and body.size_bytes >= stop:
                return
            if fault is not None and rate is not None:
                await self._sleep(len(piece) / rate, fault)

    async def _reset(self, request: Request) -> Response:
        """Reset the connection, so that no answer arrives."""
        assert request.client is not None  # noqa: S101  # TCP always has one
        self._abort((request.client.host, request.client.port))
        await _disconnected(request)
        return Silence()

    def _since_start_s(self) -> float:
        return time.monotonic() - self._started

    async def _sleep(self, seconds: float, fault: Fault) -> None:
        """Wait, for as long as the fault that asks for it has not been cleared."""
        end = time.monotonic() + seconds
        while not self.stopping and self._faults.holds(fault) and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.05))

    async def _read_record(self, _request: Request) -> Response:
        return StreamingResponse(
            (json.dumps(entry) + "\n" for entry in self._record.entries()), media_type="application/jsonl"
        )

    async def _read_files(self, request: Request) -> Response:
        arrivals = self._record.files(request.query_params.get("dataset_id"))
        return JSONResponse([asdict(arrival) for arrival in arrivals])

    async def _read_media(self, request: Request) -> Response:
        return JSONResponse(self.held(request.query_params.get("dataset_id", "")))


def _seconds(fault: Fault, default: float) -> float:
    return default if fault.seconds is None else fault.seconds


async def _disconnected(request: Request) -> None:
    """Wait until the server has noticed that the connection is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
