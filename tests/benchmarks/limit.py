"""The limit of the machine: raw sockets and `sendfile`, with a SHA-256 of each file, and nothing else.

    python limit.py BASE_URL FOLDER [THREADS]

No ledger, no checks, no errors handled. Linux only, without TLS.
"""

import hashlib
import os
import queue
import socket
import sys
import threading
from urllib.parse import urlsplit

FILES_A_REQUEST = 50
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
END = b"--b--\r\n"


def send(address: tuple[str, int], batches: "queue.SimpleQueue[list[str]]") -> None:
    """Send batches over one connection until none is left."""
    buffer = memoryview(bytearray(1024 * 1024))
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                paths = batches.get_nowait()
            except queue.Empty:
                return
            heads = [HEAD % os.path.basename(path).encode() for path in paths]
            sizes = [os.stat(path).st_size for path in paths]
            length = sum(map(len, heads)) + sum(sizes) + 2 * len(paths) + len(END)
            connection.sendall(
                b"POST /api/v1/ingestion/d/data_files/1 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" % length
            )
            for path, head, size in zip(paths, heads, sizes, strict=True):
                connection.sendall(head, socket.MSG_MORE)
                with open(path, "rb", buffering=0) as file:
                    digest = hashlib.sha256()
                    while count := file.readinto(buffer):
                        digest.update(buffer[:count])
                    done = 0
                    while done < size:
                        done += os.sendfile(connection.fileno(), file.fileno(), done, size - done)
                connection.sendall(b"\r\n", socket.MSG_MORE)
            connection.sendall(END)
            if b" 202 " not in connection.recv(65536):
                raise SystemExit("the sink refused a batch")


def main(url: str, folder: str, threads: int) -> None:
    """Send every file of the folder, by several threads."""
    parts = urlsplit(url)
    paths = sorted(entry.path for entry in os.scandir(folder))
    batches: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for start in range(0, len(paths), FILES_A_REQUEST):
        batches.put(paths[start : start + FILES_A_REQUEST])
    address = (parts.hostname or "", parts.port or 0)
    workers = [threading.Thread(target=send, args=(address, batches)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2)
