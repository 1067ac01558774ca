"""What comes of a parcel, whichever courier carries it: in this process, or in processes of their own."""

import contextlib
import hashlib
import http.server
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme

from vl_ingest.couriers import processes
from vl_ingest.couriers.here import Here
from vl_ingest.couriers.parcel import Courier, Outcome, Parcel
from vl_ingest.couriers.process import PROGRAM, Process
from vl_ingest.couriers.processes import Processes, hindrance
from vl_ingest.domain import errors
from vl_ingest.domain.promised import Promised
from vl_ingest.domain.timetable import Timetable
from vl_ingest.sandbox import Sandbox
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens, from_key
from vl_ingest.source.folder import Folder
from world import CLEAN

KINDS = ["here", "processes"]
LONG_S = 60.0  # nothing here takes so long, but on a machine that does much else
MIB = 1024 * 1024
PAIR = ("key", "secret" * 6)


class Counter:
    """A folder, a sandbox, and a courier between the two."""

    def __init__(self, kind: str, folder: Path, box: Sandbox, tokens: Tokens, bwlimit: str | None) -> None:
        self.folder, self.box = folder, box
        self.api = Api(box.url, tokens, connect_timeout_s=10.0, read_timeout_s=30.0)
        self.courier = make(kind, self.api, folder, bwlimit)
        self.dataset_id = self.api.create_dataset("d")
        self.address = self.api.upload_path(self.dataset_id, self.api.open_transaction(self.dataset_id))

    def file(self, path: str, content: bytes = b"content") -> Promised:
        """Write a file and promise it."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        seen = place.stat()
        return Promised(path, path.replace("/", "_"), seen.st_size, seen.st_mtime_ns)

    def parcel(self, *files: Promised, deadline_s: float | None = None) -> Parcel:
        """Return a parcel of these files."""
        return Parcel(str(self.folder), files, self.address, self.api.tokens.current(), deadline_s)

    def send(self, *files: Promised) -> Outcome:
        """Send them together."""
        return self.courier.submit(self.parcel(*files)).result(LONG_S)

    def held(self) -> list[tuple[str, str]]:
        """Return (name, SHA-256) of what has arrived."""
        return sorted((arrival.name, arrival.sha256) for arrival in self.box.record.files(self.dataset_id))

    def until_moving(self) -> None:
        """Wait until something is on its way."""
        wait_for(lambda: self.courier.bytes_moving > 0)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    until = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def make(
    kind: str, api: Api, folder: Path, bwlimit: str | None = None, *, size: int = 2, lines: int = 4
) -> Courier:
    """Return a courier of one kind."""
    timetable = Timetable(bwlimit)
    return (
        Here(api, timetable, Folder(str(folder)))
        if kind == "here"
        else Processes(api, timetable, size=size, lines=lines)
    )


MakeCounter = Callable[..., Counter]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of courier: every test here is about both."""
    return str(request.param)


@pytest.fixture
def make_counter(tmp_path: Path) -> Iterator[MakeCounter]:
    """Return a function that makes a counter."""
    with contextlib.ExitStack() as stack:

        def new(
            kind: str, *faults: str, tokens: Tokens | None = None, bwlimit: str | None = None, **sandbox: Any
        ) -> Counter:
            box = stack.enter_context(
                Sandbox(root=tmp_path / "server", faults=faults, check_images=False, **sandbox)
            )
            folder = tmp_path / "folder"
            folder.mkdir(exist_ok=True)
            counter = Counter(kind, folder, box, tokens or Tokens(None), bwlimit)
            stack.callback(counter.courier.close)
            return counter

        yield new


def test_a_receipt_says_what_has_gone(kind: str, make_counter: MakeCounter) -> None:
    """Small files and one of several blocks, in folders, with odd names: each arrives whole under its hash."""
    counter = make_counter(kind)
    contents = {
        "a.jpg": b"a", "deep/er/b.mp4": os.urandom(3 * MIB + 17), "c ü\udcff.png": b"c" * 700_000,
        "d.MOV": b"", "e.webp": os.urandom(512 * 1024),
    }  # fmt: skip
    files = []
    for number, (path, content) in enumerate(contents.items()):
        if content:
            files.append(counter.file(path, content)._replace(sent_as=f"{number}.mp4"))
    outcome = counter.send(*files)
    assert outcome.error is None
    assert outcome.http_status == 202
    assert outcome.bytes_out == outcome.body_bytes
    assert outcome.sha256s == [hashlib.sha256(contents[file.path]).hexdigest() for file in files]
    assert counter.held() == sorted(zip([f.sent_as for f in files], outcome.sha256s, strict=True))


@pytest.mark.parametrize(
    ("fault", "expected", "status"),
    [
        ("400", errors.BadRequest, 400),
        ("401", errors.CredentialsRefused, 401),
        ("403", errors.Denied, 403),
        ("404", errors.Denied, 404),
        ("409", errors.Conflict, 409),
        ("413", errors.TooLarge, 413),
        ("413:early=yes", errors.TooLarge, 413),
        ("422", errors.Denied, 422),
        ("429:retry-after=7", errors.Throttled, 429),
        ("429:early=yes:retry-after=7", errors.Throttled, 429),
        ("500", errors.OutcomeUnknown, 500),
        ("503:done=yes", errors.OutcomeUnknown, 503),
        ("200", errors.Undocumented, 200),
        ("redirect:to=http://127.0.0.1:9/", errors.Redirected, 307),
        ("html", errors.Undocumented, 202),
        ("html-lost", errors.Undocumented, 202),
        ("cut-answer", errors.OutcomeUnknown, 202),
        ("reset-inside", errors.OutcomeUnknown, None),
        ("reset-after", errors.OutcomeUnknown, None),
        ("lost-answer", errors.OutcomeUnknown, None),
    ],
)
def test_each_answer_has_the_same_class(
    kind: str, make_counter: MakeCounter, fault: str, expected: type[Exception], status: int | None
) -> None:
    """The answer table, whoever carries; and behind a bad end the next parcel goes as if nothing had been."""
    counter = make_counter(kind, f"upload:{fault}:times=1")
    files = [counter.file(f"{number}.mp4", os.urandom(400_000)) for number in range(4)]
    outcome = counter.send(*files)
    assert type(outcome.error) is expected
    assert isinstance(outcome.error, errors.RequestError)
    assert outcome.error.http_status == status
    if isinstance(outcome.error, errors.Throttled):
        assert outcome.error.retry_after_s == 7.0
    if "early" not in fault and "inside" not in fault:
        assert outcome.bytes_out == outcome.body_bytes
        assert len(outcome.sha256s) == len(files)
    assert counter.send(*files).error is None


def test_the_servers_words_are_the_same(kind: str, make_counter: MakeCounter) -> None:
    """A refusal comes with the server's own detail."""
    counter = make_counter(kind)
    outcome = counter.send(counter.file("a.txt"))
    assert isinstance(outcome.error, errors.BadRequest)
    assert "Unsupported file format: a.txt" in outcome.error.detail


def test_nothing_is_delivered_where_nobody_listens(kind: str, make_counter: MakeCounter) -> None:
    """A refused connection is no doubt."""
    counter = make_counter(kind)
    with counter.box.offline():
        outcome = counter.send(counter.file("a.mp4"))
    assert type(outcome.error) is errors.NotDelivered
    assert outcome.bytes_out == 0
    assert counter.send(counter.file("a.mp4")).error is None


@pytest.mark.parametrize("large", [False, True])
def test_what_is_not_as_promised_is_found_before_anything_is_sent(
    kind: str, make_counter: MakeCounter, large: bool
) -> None:
    """All such files at once, each with its state; and no server has had a byte."""
    counter = make_counter(kind)
    files = [counter.file(f"{n}.mp4", os.urandom(900_000 if large else 1000)) for n in range(6)]
    os.utime(counter.folder / "1.mp4", ns=(1, 1))
    (counter.folder / "2.mp4").unlink()
    (counter.folder / "3.mp4").write_bytes(b"another length")
    (counter.folder / "4.mp4").unlink()
    (counter.folder / "4.mp4").mkdir()
    outcome = counter.send(*files)
    assert {trouble.path: trouble.state for trouble in outcome.troubles} == {
        "1.mp4": "changed", "2.mp4": "missing", "3.mp4": "changed", "4.mp4": "unreadable",
    }  # fmt: skip
    assert outcome.error is outcome.troubles[0]
    assert outcome.bytes_out == 0
    assert not counter.box.record.requests("upload")
    assert counter.send(files[0], files[5]).error is None


def test_a_folder_that_has_gone_is_missing_files(kind: str, make_counter: MakeCounter) -> None:
    """Also where a courier has been in it before; and one that has come back is entered anew."""
    counter = make_counter(kind)
    file = counter.file("a.mp4")
    assert counter.send(file).error is None
    away = counter.folder.rename(counter.folder.with_name("away"))
    assert [trouble.state for trouble in counter.send(file).troubles] == ["missing"]
    counter.folder.mkdir()
    assert counter.send(file).sha256s == []
    assert [trouble.state for trouble in counter.send(file).troubles] == ["missing"]
    counter.folder.rmdir()
    away.rename(counter.folder)
    assert counter.send(file).error is None


def test_a_file_that_changes_on_its_way_ends_the_request(kind: str, make_counter: MakeCounter) -> None:
    """The request stays incomplete, the bytes that are out are counted, and what went before has its hash."""
    counter = make_counter(kind, "upload:slow-read:rate=1048576:times=1")
    first, second = counter.file("a.mp4"), counter.file("b.mp4", os.urandom(24 * MIB))
    future = counter.courier.submit(counter.parcel(first, second))
    counter.until_moving()
    os.truncate(counter.folder / "b.mp4", 100)
    outcome = future.result(LONG_S)
    assert isinstance(outcome.error, errors.FileTrouble)
    assert (outcome.error.path, outcome.error.state) == ("b.mp4", "changed")
    assert 0 < outcome.bytes_out < outcome.body_bytes
    assert outcome.sha256s == [hashlib.sha256(b"content").hexdigest()]
    assert counter.held() == []


def test_cancelling_cuts_what_is_on_its_way(kind: str, make_counter: MakeCounter) -> None:
    """The request stays incomplete, which is an unknown outcome; nothing begins after."""
    counter = make_counter(kind, "upload:slow-read:rate=1048576:times=1")
    future = counter.courier.submit(counter.parcel(counter.file("a.mp4", os.urandom(24 * MIB))))
    counter.until_moving()
    counter.courier.cancel()
    outcome = future.result(LONG_S)
    assert type(outcome.error) is errors.OutcomeUnknown
    assert "the run ended" in outcome.error.detail
    assert 0 < outcome.bytes_out < outcome.body_bytes
    assert type(counter.send(counter.file("b.mp4")).error) is errors.NotDelivered
    assert counter.held() == []


def test_a_process_listens_however_much_waits_in_it(make_counter: MakeCounter) -> None:
    """What has not begun is given back, and what has is cut, long before it would have been sent."""
    counter = make_counter("processes", "upload:slow-read:rate=1048576")
    file = counter.file("a.mp4", os.urandom(24 * MIB))
    futures = [counter.courier.submit(counter.parcel(file)) for _ in range(12)]
    counter.until_moving()
    counter.courier.recall()
    wait_for(lambda: any(future.done() for future in futures))
    counter.courier.cancel()
    outcomes = [future.result(LONG_S) for future in futures]
    assert {outcome.recalled for outcome in outcomes} == {False, True}
    assert all(outcome.bytes_out < outcome.body_bytes for outcome in outcomes)
    assert counter.held() == []


def test_cancelling_waits_for_an_answer_that_is_due(kind: str, make_counter: MakeCounter) -> None:
    """A body that is out can't be taken back, and its receipt is worth having."""
    counter = make_counter(kind, "upload:slow:seconds=1")
    future = counter.courier.submit(counter.parcel(counter.file("a.mp4")))
    wait_for(counter.held)
    time.sleep(0.3)  # what the server has is out, but the courier may not have been told yet
    counter.courier.cancel()
    assert future.result(LONG_S).error is None


def test_a_deadline_ends_the_sending(kind: str, make_counter: MakeCounter) -> None:
    """Behind it nothing more is handed to the network."""
    counter = make_counter(kind, "upload:slow-read:rate=1048576")
    parcel = counter.parcel(counter.file("a.mp4", os.urandom(24 * MIB)), deadline_s=0.5)
    outcome = counter.courier.submit(parcel).result(LONG_S)
    assert type(outcome.error) is errors.OutcomeUnknown
    assert "its time was over" in outcome.error.detail
    assert outcome.bytes_out < outcome.body_bytes
    assert counter.held() == []


def test_all_together_keep_to_the_allowance(kind: str, make_counter: MakeCounter) -> None:
    """Two processes and four connections send no more in a second than one would."""
    counter = make_counter(kind, bwlimit="500kB")
    files = [counter.file(f"{n}.mp4", os.urandom(250_000)) for n in range(4)]
    began = time.monotonic()
    futures = [counter.courier.submit(counter.parcel(file)) for file in files]
    assert [future.result(LONG_S).error for future in futures] == [None] * 4
    assert time.monotonic() - began > (1_000_000 / 500_000) * 0.7  # what may be saved up goes at once


def test_a_token_travels_and_its_refusal_comes_back(kind: str, make_counter: MakeCounter) -> None:
    """The number of the refused token decides whether a new one is made; a taken token counts as accepted."""
    counter = make_counter(kind, credentials=PAIR, tokens=from_key(*PAIR))
    file = counter.file("a.mp4")
    assert counter.send(file).error is None
    counter.box.add_fault("upload:401:times=1")
    outcome = counter.send(file)
    assert isinstance(outcome.error, errors.CredentialsRefused)
    token = counter.api.tokens.current()
    assert token is not None
    assert outcome.error.token_number == token.number
    counter.api.tokens.renew(outcome.error)
    assert counter.send(file).error is None


def test_a_mistake_is_raised_where_the_outcome_is_asked_for(kind: str, make_counter: MakeCounter) -> None:
    """And what carried it goes on."""
    counter = make_counter(kind)
    file = counter.file("a.mp4")
    mistaken = file._replace(path=7)  # type: ignore[arg-type]  # the mistake
    with pytest.raises((AttributeError, RuntimeError), match="int"):
        counter.courier.submit(counter.parcel(mistaken)).result(LONG_S)
    assert counter.send(file).error is None


def test_many_parcels_at_once(kind: str, make_counter: MakeCounter) -> None:
    """Each future has the outcome of its own parcel."""
    counter = make_counter(kind)
    files = [counter.file(f"{n:03}.mp4", os.urandom(20_000 + n)) for n in range(60)]
    futures = [counter.courier.submit(counter.parcel(file)) for file in files]
    for file, future in zip(files, futures, strict=True):
        digest = hashlib.sha256((counter.folder / file.path).read_bytes()).hexdigest()
        assert future.result(LONG_S).sha256s == [digest]
    assert len(counter.held()) == 60
    wait_for(lambda: counter.courier.bytes_moving == 0)  # a process tells of the receipt first


class _Taking(http.server.BaseHTTPRequestHandler):
    """Takes every POST, and keeps what was asked for."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []
    resumed: ClassVar[list[bool | None]] = []  # of requests over TLS: whether the session was an earlier one
    closes = False
    says_so = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if isinstance(self.connection, ssl.SSLSocket):
            self.resumed.append(self.connection.session_reused)
        self.send_response(202)
        self.send_header("Content-Length", "2")
        if self.says_so:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")
        self.close_connection = self.closes

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class _Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def taking(
    authority: trustme.CA | None = None, kind: type[http.server.ThreadingHTTPServer] | None = None
) -> Iterator[tuple[int, type[_Taking]]]:
    """Serve on loopback; give the port, and where what is asked for is kept."""
    handler = type("Handler", (_Taking,), {"asked": [], "resumed": []})
    host = "::1" if kind is _Server6 else "127.0.0.1"
    server = (kind or http.server.ThreadingHTTPServer)((host, 0), handler)
    server.daemon_threads = True
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port, handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send_one(kind: str, base_url: str, place: Path, count: int = 1) -> list[Outcome]:
    """Send a file to a server that is no sandbox, so often."""
    api = Api(base_url, Tokens(None), connect_timeout_s=5.0, read_timeout_s=10.0)
    courier = make(kind, api, place, size=1, lines=1)
    (place / "a.jpg").write_bytes(b"a" * 1000)
    seen = (place / "a.jpg").stat()
    file = Promised("a.jpg", "ä.jpg", seen.st_size, seen.st_mtime_ns)
    parcel = Parcel(str(place), (file,), api.upload_path("d/1 ü", "7"))
    outcomes = [courier.submit(parcel).result(LONG_S) for _ in range(count)]
    courier.close()
    return outcomes


def test_both_couriers_ask_for_the_same(tmp_path: Path) -> None:
    """A base URL with a path, names that have to be quoted, and the headers: a server sees no difference."""
    with taking() as (port, handler):
        for kind in KINDS:
            assert send_one(kind, f"http://127.0.0.1:{port}/on/prem", tmp_path)[0].error is None
    (path, headers), other = handler.asked
    assert path == "/on/prem/api/v1/ingestion/d%2F1%20%C3%BC/data_files/7"
    for _, each in (("", headers), other):
        assert each.pop("content-type").startswith("multipart/form-data; boundary=vl-ingest-")
        del each["accept-encoding"]  # the lean one takes what it need not unpack
    assert other == (path, headers)


def test_an_address_of_the_newer_internet_protocol(kind: str, tmp_path: Path) -> None:
    """IPv6, in brackets."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        serving = taking(kind=_Server6)
        port, handler = serving.__enter__()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.push(serving)
        assert send_one(kind, f"http://[::1]:{port}", tmp_path)[0].error is None
        assert handler.asked[0][1]["host"] == f"[::1]:{port}"


def test_a_connection_that_was_closed_in_silence_costs_no_doubt(kind: str, tmp_path: Path) -> None:
    """It is noticed before anything is sent over it."""
    with taking() as (port, handler):
        handler.closes = True
        api = Api(f"http://127.0.0.1:{port}", Tokens(None))
        courier = make(kind, api, tmp_path, size=1, lines=1)
        (tmp_path / "a.jpg").write_bytes(b"a")
        seen = (tmp_path / "a.jpg").stat()
        parcel = Parcel(
            str(tmp_path), (Promised("a.jpg", "a.jpg", 1, seen.st_mtime_ns),), api.upload_path("d", "1")
        )
        for _ in range(3):
            assert courier.submit(parcel).result(LONG_S).error is None
            time.sleep(0.3)  # until the end has arrived
        courier.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no doubt but final, and says what to do; REQUESTS_CA_BUNDLE names who vouches."""
    authority = trustme.CA()
    with taking(authority) as (port, handler):
        (outcome,) = send_one(kind, f"https://127.0.0.1:{port}", tmp_path)
        assert isinstance(outcome.error, errors.Refused)
        assert "REQUESTS_CA_BUNDLE" in str(outcome.error)
        assert outcome.bytes_out == 0
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
            assert [o.error for o in send_one(kind, f"https://127.0.0.1:{port}", tmp_path, 3)] == [None] * 3
            monkeypatch.delenv(name)
        assert len(handler.asked) == 6


def test_each_new_connection_of_a_process_resumes_the_session_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full handshake is made once, however often a server closes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with taking(authority) as (port, handler):
        handler.closes = handler.says_so = True
        outcomes = send_one("processes", f"https://127.0.0.1:{port}", tmp_path, 4)
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert handler.resumed == [False, True, True, True]


def test_a_port_that_speaks_no_tls_delivers_nothing(kind: str, tmp_path: Path) -> None:
    """A failed handshake comes before the first byte."""
    with taking() as (port, _):
        (outcome,) = send_one(kind, f"https://127.0.0.1:{port}", tmp_path)
    assert type(outcome.error) is errors.NotDelivered


def test_a_proxy_is_for_the_courier_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own know the direct way only, and whoever chooses is told so."""
    address = "http://vl.example/api"
    assert hindrance(address) is None
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert hindrance(address) == "there is a proxy"
    monkeypatch.setenv("no_proxy", "vl.example")
    assert hindrance(address) is None


# Processes alone


def big(counter: Counter, count: int = 1) -> list[Parcel]:
    """Return parcels that a slow server is long busy with."""
    return [counter.parcel(counter.file(f"{n}.mp4", os.urandom(24 * MIB))) for n in range(count)]


def test_what_a_dead_courier_had_begun_is_unknown_and_the_rest_goes_on(make_counter: MakeCounter) -> None:
    """A new process takes its place, and what had not begun goes with that one."""
    counter = make_counter("processes", "upload:slow-read:rate=1048576:times=1")
    courier = counter.courier
    assert isinstance(courier, Processes)
    courier.resize(1, 1)
    wait_for(lambda: len(courier.pids) == 1)
    begun = courier.submit(big(counter)[0])
    counter.until_moving()
    behind = courier.submit(counter.parcel(counter.file("behind.mp4")))
    pids = courier.pids
    os.kill(pids[0], signal.SIGKILL)
    outcome = begun.result(LONG_S)
    assert type(outcome.error) is errors.CourierLost
    assert "SIGKILL" in outcome.error.detail
    assert outcome.bytes_out > 0
    assert behind.result(LONG_S).error is None
    assert not set(pids) & set(courier.pids)
    assert [name for name, _ in counter.held()] == ["behind.mp4"]


def test_a_courier_lets_the_parent_decide_on_signals(make_counter: MakeCounter) -> None:
    """Ctrl-C in a terminal reaches all processes; what is on its way goes on until the parent says otherwise."""
    counter = make_counter("processes", "upload:slow:seconds=1")
    courier = counter.courier
    assert isinstance(courier, Processes)
    wait_for(lambda: courier.ready == 2)
    future = courier.submit(counter.parcel(counter.file("a.mp4")))
    for pid in courier.pids:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    assert future.result(LONG_S).error is None


def test_fewer_or_more_processes(make_counter: MakeCounter) -> None:
    """The number follows what is asked for, and no parcel is lost."""
    counter = make_counter("processes")
    courier = counter.courier
    assert isinstance(courier, Processes)
    files = [counter.file(f"{n:02}.mp4", os.urandom(50_000)) for n in range(40)]
    futures = []
    for number, file in enumerate(files):
        futures.append(courier.submit(counter.parcel(file)))
        courier.resize(1 + number % 3, 1 + number % 4)
    assert [future.result(LONG_S).error for future in futures] == [None] * 40
    courier.resize(1, 1)
    wait_for(lambda: len(courier.pids) == 1)
    assert len(counter.held()) == 40


def test_a_machine_that_starts_no_process(make_counter: MakeCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives back what it has, and nobody tries for ever."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    counter = make_counter("processes")
    courier = counter.courier
    assert isinstance(courier, Processes)
    outcome = counter.send(counter.file("a.mp4"))
    assert outcome.recalled
    assert courier.broken


def test_however_much_is_given_before_a_process_is_up(
    make_counter: MakeCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the socket that wakes the couriers' thread has room for: nobody waits for anybody."""
    may_start = threading.Event()

    def slow(*values: Any, **more: Any) -> Process:
        may_start.wait(LONG_S)
        return Process(*values, **more)

    monkeypatch.setattr(processes, "Process", slow)
    counter = make_counter("processes")
    file = counter.file("a.mp4")
    given: list[Future[Outcome]] = []
    parcel = counter.parcel(file)
    giving = threading.Thread(
        target=lambda: given.extend(counter.courier.submit(parcel) for _ in range(400)), daemon=True
    )
    giving.start()
    giving.join(LONG_S / 4)
    assert not giving.is_alive()
    counter.courier.recall()
    may_start.set()
    assert all(future.result(LONG_S).recalled for future in given)
    assert counter.send(file).error is None


def test_closing_ends_the_processes_at_once(make_counter: MakeCounter) -> None:
    """Whatever they do; and what was on its way is an unknown outcome."""
    counter = make_counter("processes", "upload:slow-read:rate=1048576")
    courier = counter.courier
    assert isinstance(courier, Processes)
    futures = [courier.submit(parcel) for parcel in big(counter, 2)]
    counter.until_moving()
    pids = courier.pids
    courier.close()
    assert all(isinstance(future.result(0).error, errors.CourierLost) for future in futures)
    assert not any(is_alive(pid) for pid in pids)


def test_what_a_process_begins_while_it_is_not_heard_of_is_lost(make_counter: MakeCounter) -> None:
    """It may be alive: what it has begun is read only when it has ended, and none of that goes to another one."""
    counter = make_counter("processes", "upload:slow-read:rate=1048576")
    courier = counter.courier
    assert isinstance(courier, Processes)
    courier.resize(1, 2)
    wait_for(lambda: courier.ready == 1)
    (process,) = courier._processes
    os.kill(process.pid, signal.SIGSTOP)
    futures = [courier.submit(parcel) for parcel in big(counter, 2)]
    process._socket.shutdown(socket.SHUT_RD)
    time.sleep(0.2)  # enough that it is taken for dead by whoever does not wait
    os.kill(process.pid, signal.SIGCONT)
    assert all(isinstance(future.result(LONG_S).error, errors.CourierLost) for future in futures)


def is_alive(pid: int) -> bool:
    """Return whether a process is there, and not only waits to be reaped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


PARENT = """
import sys, time
from vl_ingest.couriers.parcel import Parcel
from vl_ingest.couriers.processes import Processes
from vl_ingest.server.api import Api
from vl_ingest.domain.timetable import Timetable
from vl_ingest.domain.promised import Promised
from vl_ingest.source.folder import Folder
from vl_ingest.server.tokens import Tokens

url, address, folder, size, mtime = sys.argv[1:]
courier = Processes(Api(url, Tokens(None)), Timetable(None), size=1, lines=1)
courier.submit(Parcel(folder, (Promised("0.mp4", "0.mp4", int(size), int(mtime)),), address))
while not courier.bytes_moving:
    time.sleep(0.01)
print(*courier.pids, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize("frozen", [False, True])
def test_couriers_do_not_outlive_their_parent(make_counter: MakeCounter, frozen: bool) -> None:
    """A parent that is killed takes them along, also one that is stopped: nothing is sent behind its back."""
    counter = make_counter("here", "upload:slow-read:rate=1048576")
    file = Promised(*big(counter)[0].files[0])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, counter.box.url, counter.address, str(counter.folder),
         str(file.size_bytes), str(file.mtime_ns)],
        env=CLEAN, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if frozen:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        wait_for(lambda: not is_alive(pid))
    wait_for(lambda: counter.box.record.requests("upload"))
    assert counter.held() == []


def test_a_couriers_process_is_lean() -> None:
    """It imports neither database nor command line nor HTTP library, and little of this package."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import vl_ingest.couriers.child; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(Path(PROGRAM).parents[2])],
        env=CLEAN,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "sqlalchemy",
        "click",
        "rich",
        "requests",
        "urllib3",
        "http",
        "email",
        "traceback",
        "dataclasses",
        "asyncio",
    }
    assert {name for name in loaded if name.startswith("vl_ingest.server.")} <= {
        f"vl_ingest.server.{name}" for name in ("form", "limits", "pace")
    }


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_a_couriers_process_is_small_and_keeps_no_secret(
    make_counter: MakeCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 MB at most; neither its command line nor its environment holds a credential."""
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "very-secret")
    counter = make_counter("processes", credentials=PAIR, tokens=from_key(*PAIR))
    courier = counter.courier
    assert isinstance(courier, Processes)
    assert counter.send(counter.file("a.mp4", os.urandom(4 * MIB))).error is None
    token = counter.api.tokens.current()
    assert token is not None
    for pid in courier.pids:
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"very-secret" not in told
        assert token.value.encode() not in told
        (peak,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line)
        assert int(peak.split()[1]) < 25 * 1024
