"""How sending scales over hosts: Dask workers, each with a link of its own to the server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.link import Star, possible, star
from benchmarks.measure import middle, run, sink
from benchmarks.senders import ours
from benchmarks.throughput import make_folder

COUNTS = (1, 2, 4, 8)
LINK = (100e6, 0.04)  # bits a second, seconds of round trip
FILES, SIZE_BYTES = 1_000, 200_000  # of each worker
PORT = 8786

THERE = """
import sys
from distributed import Client
with Client(sys.argv[1], set_as_default=False) as client:
    client.wait_for_workers(int(sys.argv[2]), timeout=120)
"""


def table(place: Path, *, rounds: int, scale: float) -> Iterator[str]:
    """Yield the lines of the table. Each worker has as much to send, however many there are."""
    files = max(4, int(FILES * scale))
    rate, round_trip_s = LINK
    yield (
        f"### Dask workers, {files:,} files of {SIZE_BYTES / 1e3:.0f} kB each, every one behind a link of "
        f"{rate / 1e6:.0f} Mbit/s and {round_trip_s * 1000:.0f} ms"
    )
    yield ""
    reason = possible()
    if reason is not None:
        yield f"Not measured: {reason}."
        return
    yield "| workers | speed, of so many times one | share of the links | processor s/GB of the client | memory |"
    yield "|---|---|---|---|---|"
    yard = 0.0
    for count in COUNTS:
        size_bytes = count * files * SIZE_BYTES
        folder = make_folder(place / "files", count * files, SIZE_BYTES, ".jpg")
        with star(count, *LINK) as hosts, cluster(hosts, place) as scheduler:
            costs = []
            for _ in range(rounds):
                with sink("--address", hosts.hub_address, prefix=hosts.hub, host=hosts.hub_address) as target:
                    costs.append(run([*hosts.hub, *ours("--dask", scheduler)(target.url, folder)]))
                if target.received_bytes < size_bytes:
                    raise RuntimeError(f"{target.received_bytes} of {size_bytes} bytes arrived")
        cost = middle(costs)
        speed = size_bytes / cost.wall_s
        yard = yard or speed
        yield (
            f"| {count} | {speed / yard / count:.2f} | {speed * 8 / rate / count:.2f} "
            f"| {cost.cpu_s / size_bytes * 1e9:.2f} | {cost.peak_bytes / 1e6:.0f} MB |"
        )


@contextmanager
def cluster(hosts: Star, place: Path) -> Iterator[str]:
    """Run a scheduler at the hub, and a worker of four threads on each other host; yield its address."""
    address = f"tcp://{hosts.hub_address}:{PORT}"
    with ExitStack() as stack:
        log = stack.enter_context((place / "dask.log").open("ab"))

        def start(prefix: list[str], module: str, *arguments: str) -> None:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments],
                stdout=log, stderr=log, cwd=place,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)

        start([*hosts.hub], "dask_scheduler", "--host", hosts.hub_address, "--port", str(PORT))
        for leaf, own in zip(hosts.leaves, hosts.leaf_addresses, strict=True):
            start(
                [*leaf], "dask_worker", address, "--host", own, "--nthreads", "4", "--no-nanny",
                "--local-directory", str(place),
            )  # fmt: skip
        run([*hosts.hub, sys.executable, "-c", THERE, address, str(len(hosts.leaves))])
        yield address
