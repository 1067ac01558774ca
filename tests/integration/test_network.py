"""Certificates, proxies and clocks: what lies between the command and the server."""

import contextlib
import http.client
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
import trustme

from vl_ingest import clock
from vl_ingest.domain.errors import Denied
from vl_ingest.ledger.tables import attempts
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from vl_ingest.server.wire import Adapter, Session
from world import World


class _Gone(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 404, so that a run that gets here stops."""

    def do_GET(self) -> None:
        body = b'{"detail": "nothing here"}'
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def authority() -> trustme.CA:
    """Return a certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def secure_url(authority: trustme.CA) -> Iterator[str]:
    """Serve over TLS, with a certificate of that authority."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gone)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_receipt_for_what_could_not_be_written_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks at the last byte, and a receipt had come before: perhaps delivered, so sent again."""
    send, broken = http.client.HTTPConnection.send, list[object]()

    def break_once(connection: http.client.HTTPConnection, data: bytes) -> None:
        send(connection, data)
        if not broken and bytes(data[-4:]) == b"--\r\n":
            broken.append(connection)
            raise BrokenPipeError

    monkeypatch.setattr(http.client.HTTPConnection, "send", break_once)
    world.pictures(3)
    assert world.run().code == 0
    assert broken
    assert {file.unknown_attempts for file in world.files()} == {1}
    world.check_promises()


class _Hinting(_Gone):
    """Answers uploads: the first with a hint and then a receipt, the second with 503, and then with receipts."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []
    uploads = 0
    begun = False

    def do_GET(self) -> None:
        answers = {"new_dataset": '{"dataset_id": "d"}', "data_files": '{"trans_id": 1}'}
        last = self.path.split("?")[0].rpartition("/")[2]
        self._answer(
            200,
            answers.get(last, '{"status_new": "READY"}' if self.begun else '{"status_new": "DRAFT"}'),
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        kind = type(self)
        if "process_files" in self.path:
            kind.begun = True
            self._answer(202, "{}")
            return
        kind.uploads += 1
        if kind.uploads == 1:
            self.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            self.wfile.flush()
            time.sleep(0.5)
        if kind.uploads == 2:
            self._answer(503, "{}")
            return
        kind.bodies.append(body)
        self._answer(202, "{}")

    def _answer(self, status: int, content: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            self.end_headers()
            self.wfile.write(content.encode())


def test_an_answer_before_the_answer_is_no_receipt_for_the_next(world: World) -> None:
    """A hint (1xx) is not the last word: what comes behind it on that connection answers no other request."""
    world.pictures(2)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hinting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        ended = world.run("--base-url", url, "--workers", "1", "--batch-size", "1", "--no-wait")
        server.shutdown()
        thread.join()
    assert ended.code == 0, ended.err
    for name in (b"p0000.png", b"p0001.png"):
        assert any(name in body for body in _Hinting.bodies), "each file that is called sent has arrived"


def test_connections_through_any_proxy_tell_whether_they_were_cut() -> None:
    """Through a SOCKS proxy, too, which brings classes of its own."""
    adapter = Session().get_adapter("http://server")
    assert isinstance(adapter, Adapter)
    for proxy in ("http://127.0.0.1:1", "socks5h://127.0.0.1:1"):
        pools: dict[str, Any] = adapter.proxy_manager_for(proxy).pool_classes_by_scheme
        assert {pool.ConnectionCls.__name__[:7] for pool in pools.values()} == {"Watched"}


def test_no_cache_on_the_way_may_answer() -> None:
    """Each request forbids it: the first two are GETs with effects, and an old status would decide wrongly."""
    seen: list[str | None] = []

    class Noting(_Gone):
        def do_GET(self) -> None:
            seen.append(self.headers["Cache-Control"])
            super().do_GET()

    with http.server.HTTPServer(("127.0.0.1", 0), Noting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        api = Api(f"http://127.0.0.1:{server.server_port}", Tokens(None))
        for request in (lambda: api.create_dataset("x"), lambda: api.dataset_status("d")):
            with pytest.raises(Denied):
                request()
        server.shutdown()
        thread.join()
    assert seen == ["no-cache, no-store"] * 2


def test_a_certificate_that_can_not_be_trusted_is_refused(world: World, secure_url: str) -> None:
    """It is permanent (7), nothing is retried for a day, and the message says what to do."""
    world.pictures(1)
    ended = world.cli("run", str(world.folder), "--name", "x", "--base-url", secure_url)
    assert ended.code == 7
    assert "REQUESTS_CA_BUNDLE" in ended.err
    assert "is gone" not in ended.err


def test_an_authority_of_ones_own_is_trusted_when_named(
    world: World, secure_url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With REQUESTS_CA_BUNDLE the same server is talked to."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    world.pictures(1)
    ended = world.cli("run", str(world.folder), "--name", "x", "--base-url", secure_url)
    assert ended.code == 7
    assert "nothing here" in ended.err


def test_a_proxy_that_is_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies of the environment are used, and one that can't be reached means that nothing was delivered."""
    world.pictures(1)
    with world.box.offline():
        monkeypatch.setenv("http_proxy", world.box.url)
        ended = world.cli(
            "run",
            str(world.folder),
            "--name",
            "x",
            "--base-url",
            "http://server.invalid",
            "--give-up-after",
            "0.3s",
        )
    assert ended.code == 5
    assert "create_failed" in world.kinds("x")
    assert "create_unknown" not in world.kinds("x")


def test_a_clock_that_is_set_forward_shortens_no_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the wall clock does not make a doubtful upload older: the trigger waits out the window."""
    real_now = clock.now

    def stepped() -> datetime:
        sent_again = len(world.box.record.requests("upload")) > 1
        return real_now() + timedelta(minutes=1 if sent_again else 0)

    world.pictures(1)
    world.box.add_fault("upload:lost-answer:times=1")
    monkeypatch.setattr(clock, "now", stepped)
    assert world.run("--settle", "1.5s").code == 0
    doubtful, trigger = (
        datetime.fromisoformat(world.box.record.requests(endpoint)[0]["at"])
        for endpoint in ("upload", "trigger")
    )
    assert trigger - doubtful > timedelta(seconds=1.4)


def test_a_clock_that_was_set_forward_between_two_runs_shortens_no_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an upload of an earlier run the window begins with this one, whatever the wall clock says."""
    world.pictures(1)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("upload:lost-answer:times=1")
    assert world.run("--batch-size", "1", "--workers", "1").code == 3, "the lost answer is the picture's"
    assert world.cli("waive", "job", "--all").code == 0
    real_now = clock.now
    monkeypatch.setattr(clock, "now", lambda: real_now() + timedelta(hours=1))
    assert world.run("--settle", "1.5s").code == 0
    with world.ledger() as ledger:
        started, intended = (
            ledger.events.last(world.job().id, kind) for kind in ("run_started", "trigger_intended")
        )
    assert started is not None
    assert intended is not None
    assert intended.at - started.at > timedelta(seconds=1.4)


def test_a_clock_that_was_set_back_makes_nobody_wait(world: World) -> None:
    """A doubt that seems to lie in the future is waited for one window, not for years."""
    world.pictures(3)
    world.box.add_fault("upload:lost-answer:times=1")
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--on-rejected", "hold").code == 3
    with world.ledger() as ledger, ledger.db.write() as connection:
        connection.execute(
            sa.update(attempts)
            .values(ended_at=sa.func.datetime("now", "+10 years"))
            .where(attempts.c.outcome == "unknown")
        )
    world.cli("waive", "job", "--all")
    assert world.run().code == 0
    world.check_promises()


def test_the_doctor_looks_at_the_certificate(
    world: World, secure_url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that can't be trusted is 7; a trusted one has days left."""
    ended = world.cli("doctor", "--base-url", secure_url, "--json")
    assert ended.code == 7
    assert "REQUESTS_CA_BUNDLE" in ended.lines[-3]["text"]
    assert ended.lines[-2]["text"] == "credentials, clock: fix what failed first."
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    ended = world.cli("doctor", "--base-url", secure_url, "--json")
    assert ended.code == 0
    assert next(line for line in ended.lines if line.get("name") == "TLS")["days_left"] > 14


def test_the_doctor_names_the_proxy_without_its_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests go through it, so neither name nor address of the server are looked at from here."""
    monkeypatch.setenv("http_proxy", world.box.url.replace("://", "://user:password@"))
    with world.box.offline():
        ended = world.cli("doctor", "--base-url", "http://server.invalid", "--json")
    assert ended.code == 5
    names = {line["name"]: line for line in ended.lines if line["type"] == "check"}
    assert names["proxy"]["proxy"] == world.box.url
    assert "password" not in ended.out + ended.err
    assert "DNS" not in names


def test_the_doctor_compares_the_clocks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is an hour ahead is a warning: tokens are made by the server's time."""
    real_now = clock.now
    monkeypatch.setattr(clock, "now", lambda: real_now() + timedelta(hours=1))
    ended = world.cli("doctor", "--base-url", world.box.url, "--json")
    assert ended.code == 0
    finding = next(line for line in ended.lines if line.get("name") == "clock")
    assert finding["grade"] == "warning"
    assert "ahead" in finding["text"]
    assert -3605 < finding["off_s"] < -3595


def test_certificates_that_are_not_there_are_said_at_once(
    world: World, secure_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be asked, so there is no doubt and no job; `doctor` says the same."""
    world.pictures(1)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    for command in (world.arguments(), ["doctor"]):
        ended = world.cli(*command, "--base-url", secure_url)
        assert ended.code == 2
        assert (
            "Can't read the certificates in /nowhere.pem: No such file or directory." in ended.out + ended.err
        )
    assert not world.cli("jobs", "--json").out
