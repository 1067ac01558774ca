"""A link of a given rate and round-trip time between two hosts, in user space.

The hosts are network namespaces, each with a TUN device; what one sends, the other receives later. The kernel's own
TCP works on both ends, so windows, slow start and lost packets are real. Needs root, Linux and `ip` (iproute2).
"""

import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

MTU = 9000  # jumbo frames: a packet costs Python ten microseconds
STAR_MTU = 27_000  # eight links on one machine would else measure what passing packets on costs it
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SENDER, _SINK = "10.77.0.1", "10.77.0.2"
_HUB = "10.77.0.1"


@dataclass(frozen=True)
class Hosts:
    """The two ends: what to start a command with there, and the sink's address."""

    sender: Sequence[str]
    sink: Sequence[str]
    sink_address: str = _SINK


def possible() -> str | None:
    """Return why a link can't be made here; None if it can."""
    if not sys.platform.startswith("linux"):
        return "only on Linux"
    if os.geteuid() != 0:
        return "only as root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    return None if shutil.which("ip") else "no `ip` (iproute2)"


@contextmanager
def link(rate_bits: float, round_trip_s: float) -> Iterator[Hosts]:
    """Make the two hosts and pass their packets on until the block ends.

    `rate_bits` is in bits a second, each way. A queue holds as much as the link holds on its way.
    """
    with ExitStack() as stack:
        hosts = [(_space(stack, side), address) for side, address in (("a", _SENDER), ("b", _SINK))]
        stack.enter_context(_wire(hosts, "0", rate_bits, round_trip_s, MTU))
        (sender, _), (sink, _) = hosts
        yield Hosts(_inside(sender), _inside(sink))


@dataclass(frozen=True)
class Star:
    """Hosts around a hub: what to start a command with at the hub, and at each of them, and all addresses."""

    hub: Sequence[str]
    leaves: Sequence[Sequence[str]]
    leaf_addresses: Sequence[str]
    hub_address: str = _HUB


@contextmanager
def star(count: int, rate_bits: float, round_trip_s: float) -> Iterator[Star]:
    """Make `count` hosts with a link to the hub each, as `link` makes one."""
    with ExitStack() as stack:
        hub = _space(stack, "h")
        _ip("-n", hub, "addr", "add", f"{_HUB}/32", "dev", "lo")
        leaves, addresses = [], []
        for number in range(1, count + 1):
            leaf, near, far = _space(stack, f"l{number}"), f"10.77.{number}.1", f"10.77.{number}.2"
            stack.enter_context(
                _wire([(hub, near), (leaf, far)], str(number), rate_bits, round_trip_s, STAR_MTU)
            )
            _ip("-n", leaf, "route", "add", "default", "via", near)
            leaves.append(_inside(leaf))
            addresses.append(far)
        yield Star(_inside(hub), leaves, addresses)


def _space(stack: ExitStack, side: str) -> str:
    """Make a host, until the stack is closed."""
    space = f"bench{side}-{os.getpid()}"
    _ip("netns", "add", space)
    stack.callback(_ip, "netns", "del", space)
    _ip("-n", space, "link", "set", "lo", "up")
    return space


def _inside(space: str) -> list[str]:
    return ["ip", "netns", "exec", space]


@contextmanager
def _wire(
    hosts: Sequence[tuple[str, str]], name: str, rate_bits: float, round_trip_s: float, mtu: int
) -> Iterator[None]:
    """Give two hosts a device and an address each, and pass on what one sends to the other."""
    with ExitStack() as stack:
        ends = []
        for side, (space, address) in enumerate(hosts):
            device = f"t{name}{'ab'[side]}{os.getpid()}"
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            stack.callback(os.close, end)
            fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
            _ip("link", "set", device, "netns", space)
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", space, "link", "set", device, "mtu", str(mtu), "txqueuelen", "1000", "up")
            ends.append(end)
        stop = threading.Event()
        passing = threading.Thread(target=_pass_on, args=(*ends, rate_bits, round_trip_s / 2, stop))
        passing.start()
        stack.callback(passing.join)
        stack.callback(stop.set)
        yield


@dataclass
class _Way:
    """Packets on their way from one end to the other."""

    source: int
    target: int
    rate_bytes: float
    delay_s: float
    due: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_at: float = 0.0  # when the last packet has left the queue

    def take(self, now: float) -> None:
        """Read what the source has sent; drop what finds the queue full."""
        longest_s = max(2 * self.delay_s, 0.02)
        while True:
            try:
                packet = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if self.free_at - now < longest_s:
                self.free_at = max(now, self.free_at) + len(packet) / self.rate_bytes
                self.due.append((self.free_at + self.delay_s, packet))

    def give(self, now: float) -> None:
        """Hand over what has arrived."""
        while self.due and self.due[0][0] <= now:
            try:
                os.write(self.target, self.due.popleft()[1])
            except OSError:
                continue  # the other host does not take it: lost, as on a real link


def _pass_on(one: int, other: int, rate_bits: float, delay_s: float, stop: threading.Event) -> None:
    ways = (_Way(one, other, rate_bits / 8, delay_s), _Way(other, one, rate_bits / 8, delay_s))
    while not stop.is_set():
        now = time.monotonic()
        next_due = min((way.due[0][0] for way in ways if way.due), default=now + 0.1)
        ready, _, _ = select.select((one, other), (), (), min(0.1, max(0.0, next_due - now)))
        now = time.monotonic()
        for way in ways:
            if way.source in ready:
                way.take(now)
            way.give(now)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
