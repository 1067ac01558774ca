"""A server that throws bodies away: just enough of HTTP to receive uploads at full speed.

    python sink.py [--address A] [--delay-s S] [--certificate PEM]

Prints its port, and answers until its standard input is closed; then prints as JSON how many bytes of bodies came,
and when the first upload did (`time.monotonic`, which all processes of a machine share; null if none came).
`--delay-s` is how long it thinks before it answers an upload.
"""

import argparse
import json
import re
import socket
import ssl
import sys
import threading
import time

BLOCK_BYTES = 1024 * 1024


class Sink:
    """Counts what it receives; a dataset is `READY` as soon as it is triggered."""

    def __init__(self, delay_s: float, tls: ssl.SSLContext | None) -> None:
        self.received_bytes = 0
        self.first_upload_at: float | None = None
        self._delay_s = delay_s
        self._tls = tls
        self._triggered = False
        self._lock = threading.Lock()

    def listen(self, address: str) -> socket.socket:
        """Start to serve, and return the listening socket."""
        listening = socket.create_server((address, 0), backlog=128)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        buffer = memoryview(bytearray(BLOCK_BYTES))
        with connection:
            while self._answer(connection, buffer):
                pass

    def _answer(self, connection: socket.socket, buffer: memoryview) -> bool:
        """Serve one request; say whether another may follow."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if self.first_upload_at is None and head.startswith(b"POST"):
            self.first_upload_at = time.monotonic()
        if b"100-continue" in head.lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        left = (int(length[1]) if length else 0) - len(body)
        received = len(body)
        while left > 0:
            count = connection.recv_into(buffer[: min(left, BLOCK_BYTES)])
            if not count:
                return False
            left -= count
            received += count
        with self._lock:
            self.received_bytes += received
        status, answer = self._words(head.split(b"\r\n")[0])
        connection.sendall(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(answer), answer)
        )
        return True

    def _words(self, request: bytes) -> tuple[bytes, bytes]:
        if b"/new_dataset" in request:
            return b"200 OK", b'{"dataset_id": "d"}'
        if b"/process_files/" in request:
            self._triggered = True
            return b"202 Accepted", b"{}"
        if request.startswith(b"POST"):
            time.sleep(self._delay_s)
            return b"202 Accepted", b"{}"
        if b"/dataset/" in request:
            return b"200 OK", b'{"status_new": "%s"}' % (b"READY" if self._triggered else b"DRAFT")
        return b"200 OK", b'{"trans_id": 1}'


def main() -> None:
    """Serve until the standard input is closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--certificate")
    options = parser.parse_args()
    tls = None
    if options.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    sink = Sink(options.delay_s, tls)
    with sink.listen(options.address) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201  # what this command is for
        sys.stdin.read()
    facts = {"received_bytes": sink.received_bytes, "first_upload_at": sink.first_upload_at}
    print(json.dumps(facts))  # noqa: T201  # what this command is for


if __name__ == "__main__":
    main()
