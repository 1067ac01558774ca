"""The endpoints, as documented, and the faults laid over them."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vl_ingest.sandbox.faults import Fault, FaultPlan
from vl_ingest.sandbox.receive import Receiver
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.store import Refusal, Store

PAGE = (
    "<!doctype html><html><head><title>Gateway</title></head><body><h1>One moment, please</h1></body></html>"
)
RECEIPTS = {"create": 200, "open": 200, "upload": 202, "trigger": 202, "status": 200}
DEFAULT_HANG_S, DEFAULT_SLOW_S, DEFAULT_RATE = 3600.0, 1.0, 1024 * 1024

Reset = Callable[[tuple[str, int]], None]
CarryOut = Callable[[Request, int, Receiver | None], tuple[list[Any], Any]]


@dataclass(frozen=True)
class Rules:
    """What the server insists on."""

    credentials: tuple[str, str] | None = None  # API key and secret; None: on-premises, no header wanted
    max_request_bytes: int | None = None
    check_images: bool = True
    keep_files: bool = False


class Silence(Response):
    """What is sent to nobody: the connection is gone."""


class CutAnswer(Response):
    """The beginning of an answer, then a reset."""

    def __init__(self, answer: Response, reset: Callable[[], Awaitable[Response]]) -> None:
        super().__init__(answer.body, answer.status_code)
        self.raw_headers = answer.raw_headers  # with the length of the whole
        self._reset = reset

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it, as ASGI wants a response to."""
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await self._reset()


class App:
    """The server's behaviour. `reset` aborts the connection of a client's address."""

    def __init__(
        self, record: Record, store: Store, faults: FaultPlan, rules: Rules, reset: Reset, root: Path
    ) -> None:
        self.stopping = False
        self._record = record
        self._store = store
        self._faults = faults
        self._rules = rules
        self._abort = reset
        self._incoming = root / "incoming"
        self._incoming.mkdir(exist_ok=True)
        for left in self._incoming.glob("part-*"):  # by a sandbox that was killed
            left.unlink()
        self._kept = root / "files"
        self._numbers = itertools.count(record.last_request() + 1)
        self._started = time.monotonic()
        ingestion = "/api/v1/ingestion"
        self.asgi = Starlette(
            routes=[
                Route(f"{ingestion}/new_dataset", self._endpoint("create", self._create)),
                Route(f"{ingestion}/{{dataset}}/data_files", self._endpoint("open", self._open)),
                Route(
                    f"{ingestion}/{{dataset}}/data_files/{{transaction:int}}",
                    self._endpoint("upload", self._upload),
                    methods=["POST"],
                ),
                Route(
                    f"{ingestion}/{{dataset}}/process_files/{{transaction:int}}",
                    self._endpoint("trigger", self._trigger),
                    methods=["POST"],
                ),
                Route("/api/v1/dataset/{dataset}", self._endpoint("status", self._status)),
                Route("/sandbox/record", self._read_record),
                Route("/sandbox/files", self._read_files),
            ],
            exception_handlers={HTTPException: _error, Exception: _error},
        )

    # The documented behaviour: each returns the entries to record and the answer

    def _create(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        name = request.query_params.get("dataset_name")
        if not name:
            raise Refusal(
                422, [{"loc": ["query", "dataset_name"], "msg": "field required", "type": "missing"}]
            )
        entry = self._store.new_dataset(name)
        return [entry], {"dataset_id": entry["dataset_id"]}

    def _open(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        entry = self._store.new_transaction(request.path_params["dataset"])
        return [entry], {"trans_id": entry["transaction_id"]}

    def _upload(self, request: Request, number: int, body: Receiver | None) -> tuple[list[Any], Any]:
        assert body is not None  # noqa: S101  # an upload is always received first
        where = {
            "dataset_id": request.path_params["dataset"],
            "transaction_id": request.path_params["transaction"],
            "request": number,
        }
        self._store.check_upload(where["dataset_id"], where["transaction_id"])
        entries = [
            {
                "kind": "file_received", **where, "name": part.file_name, "size_bytes": part.size_bytes,
                "sha256": part.digest.hexdigest(),
            }
            for part in body.parts
        ]  # fmt: skip
        if self._rules.keep_files:
            self._kept.mkdir(exist_ok=True)
            for index, part in enumerate(body.parts):
                if part.path is not None:
                    part.path.rename(self._kept / f"{number:06}-{index:04}")
        return [*entries, {"kind": "batch_accepted", **where, "files": len(entries)}], {"status": "accepted"}

    def _trigger(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        entry = self._store.trigger(request.path_params["dataset"], request.path_params["transaction"])
        return [entry], {"status": "accepted"}

    def _status(self, request: Request, _number: int, _body: Receiver | None) -> tuple[list[Any], Any]:
        return [], self._store.status(request.path_params["dataset"])

    def _endpoint(self, name: str, carry_out: CarryOut) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.method == "HEAD":  # Starlette lets it through where GET is; here GET has effects
                raise HTTPException(405)
            number = next(self._numbers)
            fault = self._faults.next(name, self._since_start_s())
            body: Receiver | None = None
            status: int | None = None
            try:
                if fault is not None and fault.kind == "reset-before":
                    return await self._reset(request)
                if fault is not None and fault.status and fault.early and not fault.done:
                    status = fault.status
                    return _fault_answer(fault, close=True)
                self._authorise(request)
                if name == "upload":
                    self._limit(int(request.headers.get("content-length", 0)))
                    body = Receiver(
                        request.headers.get("content-type", ""), self._incoming,
                        images=self._rules.check_images, keep=self._rules.keep_files,
                    )  # fmt: skip
                    await self._receive(request, body, fault)
                    fault = fault or self._faults.next_named(name, self._since_start_s(), body.names)
                response = await self._before(request, fault, RECEIPTS[name])
                if response is None:
                    answer = await self._answer(request, number, body, carry_out, RECEIPTS[name])
                    response = await self._after(request, fault, answer)
                status = None if isinstance(response, Silence) else response.status_code
                return response
            except Refusal as refusal:
                status = refusal.status
                return _refused(refusal)
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
                        "kind": "request", "number": number, "endpoint": name, "method": request.method,
                        "path": request.url.path, "status": status, "fault": fault and fault.kind,
                        "authorization": "authorization" in request.headers,
                        "user_agent": request.headers.get("user-agent"),
                        "body_bytes": body.size_bytes if body is not None else 0,
                    }
                )  # fmt: skip

        return endpoint

    async def _answer(
        self, request: Request, number: int, body: Receiver | None, carry_out: CarryOut, receipt: int
    ) -> Response:
        """Carry a request out, or refuse it; return the honest answer."""
        try:
            if body is not None:
                self._store.check_upload(request.path_params["dataset"], request.path_params["transaction"])
                await run_in_threadpool(body.check)
            entries, answer = carry_out(request, number, body)
        except Refusal as refusal:
            return _refused(refusal)
        self._record.append(*entries)
        for entry in entries:
            self._store.apply(entry)
        return JSONResponse(answer, receipt)

    async def _before(self, request: Request, fault: Fault | None, receipt: int) -> Response | None:
        """Return the answer of a fault that keeps the request from being carried out."""
        if fault is None:
            return None
        if fault.status and not fault.done:
            return _fault_answer(fault)
        if fault.kind == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_disconnected(request), _seconds(fault, DEFAULT_HANG_S))
        if fault.kind in ("hang", "reset-after", "reset-inside"):
            return await self._reset(request)
        if fault.kind == "html-lost":
            return HTMLResponse(PAGE, receipt)
        if fault.kind == "redirect":
            return Response(status_code=307, headers=fault.headers(datetime.now(UTC)))
        return None

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
        if fault.status:
            return _fault_answer(fault)
        return HTMLResponse(PAGE, answer.status_code) if fault.kind == "html" else answer

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

    async def _receive(self, request: Request, body: Receiver, fault: Fault | None) -> None:
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


def _seconds(fault: Fault, default: float) -> float:
    return default if fault.seconds is None else fault.seconds


def _refused(refusal: Refusal) -> Response:
    # What is too large is not read to its end.
    headers = {"connection": "close"} if refusal.status == 413 else {}
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers=headers)


def _fault_answer(fault: Fault, *, close: bool = False) -> Response:
    headers = fault.headers(datetime.now(UTC)) | ({"connection": "close"} if close else {})
    status = fault.status or 500
    if status in (204, 304):  # these have no body
        return Response(status_code=status, headers=headers)
    return JSONResponse({"detail": f"The sandbox was told to answer {status}."}, status, headers=headers)


async def _error(_request: Request, exc: Exception) -> Response:
    """Answer what no route takes, and a fault of our own, as documented errors are answered."""
    if isinstance(exc, HTTPException):
        return JSONResponse({"detail": exc.detail}, exc.status_code, headers=exc.headers)
    return JSONResponse({"detail": f"The sandbox itself failed: {exc!r}"}, 500)


async def _disconnected(request: Request) -> None:
    """Wait until the server has noticed that the connection is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
