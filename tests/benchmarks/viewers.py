"""What lookers cost: the same upload with nobody at the live page, and with many streams of it open."""

import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.measure import Cost, run, sink
from benchmarks.senders import ours
from benchmarks.throughput import make_folder

VIEWERS = 50
FILES, SIZE_BYTES = 20_000, 100_000


def table(place: Path, *, rounds: int, scale: float) -> Iterator[str]:
    """Yield the lines of the table: each round without and with viewers, in turns."""
    files = max(10, int(FILES * scale))
    folder = make_folder(place, files, SIZE_BYTES, ".jpg")
    alone: list[Cost] = []
    watched: list[Cost] = []
    messages = []
    for _ in range(rounds):
        with sink() as target:
            alone.append(run(ours()(target.url, folder)))
        with sink() as target:
            command = ours()(target.url, folder)
            with viewers(command[-1], VIEWERS) as seen:
                watched.append(run(command))
            messages.append(min(seen))
        assert target.received_bytes >= files * SIZE_BYTES
    speed = statistics.median(cost.wall_s for cost in alone) / statistics.median(
        cost.wall_s for cost in watched
    )
    work = statistics.median(cost.cpu_s for cost in watched) / statistics.median(cost.cpu_s for cost in alone)
    yield f"### {VIEWERS} viewers of the live page during an upload of {files:,} files of {SIZE_BYTES // 1000} kB"
    yield ""
    yield "| | speed, without viewers = 1 | the upload's processor time, without = 1 | messages to each viewer |"
    yield "|---|---|---|---|"
    yield f"| {VIEWERS} viewers | {speed:.2f} | {work:.2f} | {statistics.median(messages):.0f} |"


@contextmanager
def viewers(ledger: str, count: int) -> Iterator[list[int]]:
    """Let so many follow a ledger's overview during the block; yields how many messages each has had, at its end."""
    command = [sys.executable, "-m", "vl_ingest", "serve", "--port", "0", "--json", "--ledger", ledger]
    seen = [0] * count
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["url"].rstrip("/").rpartition(":")[2])

        ready = threading.Barrier(count + 1)

        def follow(number: int, connection: HTTPConnection) -> None:
            connection.request("GET", "/events")
            answer = connection.getresponse()
            ready.wait()
            for line in answer:
                seen[number] += line.startswith(b"event:")

        with ExitStack() as stack:
            for number in range(count):
                connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", port)))
                follower = threading.Thread(target=follow, args=(number, connection))
                follower.start()
                stack.callback(follower.join)
            stack.callback(process.terminate)  # the streams end, and then their threads
            ready.wait()
            yield seen
