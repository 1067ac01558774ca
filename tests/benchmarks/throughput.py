"""How fast, how costly: whole processes that send the same folder to the same sink, in turns."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.link import Hosts, link, possible
from benchmarks.measure import Cost, middle, run, sink
from benchmarks.senders import BASELINE, LIMIT, OURS, named

CURL = ("curl, processes at once: 1", "curl, processes at once: 4")
FIXED = tuple(f"{OURS} --workers {number}" for number in (1, 2, 4, 8, 16, 32))
GB = 1e9
BLOCK_BYTES = 1024 * 1024  # what is measured inherits the memory of who starts it: stay small


@dataclass(frozen=True)
class Case:
    """A folder, a way to the server, and who sends. `link` is bits a second and seconds of round trip."""

    title: str
    files: int
    size_bytes: int
    senders: tuple[str, ...]
    delay_s: float = 0.0
    tls: bool = False
    link: tuple[float, float] | None = None
    ending: str = ".jpg"


CASES = {
    "small": Case("10 kB, 100,000 files", 100_000, 10_000, (BASELINE, LIMIT, OURS, *FIXED[:2])),
    "pictures": Case("200 kB, 30,000 files", 30_000, 200_000, (BASELINE, LIMIT, *CURL, OURS, *FIXED[:3])),
    "photos": Case("5 MB, 400 files", 400, 5_000_000, (BASELINE, LIMIT, CURL[1], OURS)),
    "videos": Case("500 MB, 4 files", 4, 500_000_000, (BASELINE, LIMIT, OURS), ending=".mp4"),
    "latency": Case(
        "20 kB, 16,000 files, 200 ms of server time a request",
        16_000, 20_000, (BASELINE, CURL[1], OURS, *FIXED[3:]), delay_s=0.2,
    ),
    "tls": Case("200 kB, 10,000 files, over TLS", 10_000, 200_000, (BASELINE, CURL[1], OURS), tls=True),
    "narrow": Case(
        "200 kB, 1,000 files, a link of 100 Mbit/s and 80 ms",
        1_000, 200_000, (BASELINE, OURS, *FIXED[:4]), link=(100e6, 0.08),
    ),
    "wide": Case(
        "200 kB, 10,000 files, a link of 1 Gbit/s and 40 ms",
        10_000, 200_000, (BASELINE, OURS, *FIXED[:4]), link=(1e9, 0.04),
    ),
}  # fmt: skip


def table(case: Case, place: Path, *, rounds: int, scale: float) -> Iterator[str]:
    """Yield the lines of a case's table. `scale` shrinks the number of files."""
    files = max(4, int(case.files * scale))
    yield f"### {case.title}" + (f" (here: {files:,} files)" if files != case.files else "")
    yield ""
    reason = possible() if case.link else None
    if reason is not None:
        yield f"Not measured: {reason}."
        return
    folder = make_folder(place / "files", files, case.size_bytes, case.ending)
    size_bytes = files * case.size_bytes
    costs: dict[str, list[Cost]] = {name: [] for name in case.senders if named(name) is not None}
    with ExitStack() as stack:
        hosts = stack.enter_context(link(*case.link)) if case.link else None
        for _ in range(rounds):
            for name, seen in costs.items():
                seen.append(_send(case, name, folder, size_bytes, hosts, place))
    yard = middle(costs[BASELINE])
    limit = middle(costs[LIMIT]) if LIMIT in costs else None
    share = "share of the link" if case.link else "share of the limit"
    yield f"| sender | speed, baseline = 1 | {share} | processor s/GB | memory |"
    yield "|---|---|---|---|---|"
    for name, seen in costs.items():
        cost = middle(seen)
        part = ""
        if case.link:
            part = f"{size_bytes * 8 / case.link[0] / cost.wall_s:.2f}"
        elif limit:
            part = f"{limit.wall_s / cost.wall_s:.2f}"
        yield (
            f"| {name} | {yard.wall_s / cost.wall_s:.2f} | {part} | {cost.cpu_s / size_bytes * GB:.2f} "
            f"| {cost.peak_bytes / 1e6:.0f} MB |"
        )
    yield from (f"\nNot measured: {name}." for name in case.senders if name not in costs)


def _send(case: Case, name: str, folder: Path, size_bytes: int, hosts: Hosts | None, place: Path) -> Cost:
    """Let one sender send the folder; raises if less than all of it arrived."""
    sender = named(name)
    assert sender is not None
    options = ["--delay-s", str(case.delay_s)]
    environment: dict[str, str] = {}
    if case.tls:
        environment = dict(certificate(place))
        options += ["--certificate", environment["BENCHMARK_CERTIFICATE"]]
    address, at_sink, at_sender = "127.0.0.1", [], []
    if hosts is not None:
        address, at_sink, at_sender = hosts.sink_address, [*hosts.sink], [*hosts.sender]
    with sink("--address", address, *options, prefix=at_sink, host=address, tls=case.tls) as target:
        cost = run([*at_sender, *sender(target.url, folder)], environment)
    if target.received_bytes < size_bytes:
        raise RuntimeError(f"{name} sent {target.received_bytes} of {size_bytes} bytes")
    return cost


def certificate(place: Path) -> Mapping[str, str]:
    """Make a certificate for the sink; return the environment in which everybody trusts it."""
    import trustme

    own, authority = place / "sink.pem", place / "authority.pem"
    if not own.exists():
        issuer = trustme.CA()
        issued = issuer.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(own)
        issuer.cert_pem.write_to_path(authority)
    trusted = {name: str(authority) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    return {**trusted, "BENCHMARK_CERTIFICATE": str(own)}


def make_folder(place: Path, files: int, size_bytes: int, ending: str) -> Path:
    """Return a folder of so many files that differ, made once."""
    folder = place / f"{files}x{size_bytes}{ending}" / "source"
    if not folder.exists():
        folder.mkdir(parents=True)
        block = bytearray(os.urandom(min(size_bytes, BLOCK_BYTES)))
        for number in range(files):
            block[:8] = number.to_bytes(8)
            with (folder / f"{number:07d}{ending}").open("wb") as file:
                for start in range(0, size_bytes, len(block)):
                    file.write(block[: size_bytes - start])
    return folder
