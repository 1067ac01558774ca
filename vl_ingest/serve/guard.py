"""Who may ask, and what every answer forbids the browser.

A page of another site must not be able to read this one through its reader's browser: the name in the address has to
be ours (else a name of theirs could lead here: DNS rebinding), and requests that name another origin are refused. From
elsewhere than this machine a token is needed on top of it.
"""

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY.format(script="'self'", style="'self'"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """Decides on requests. `bound` is the address that is listened on; `token` is None where none is needed."""

    bound: str
    port: int
    token: str | None

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the token; browsers do not keep ports apart."""
        return f"vl_ingest_page_{self.port}"

    def refusal(self, host: str, origin: str | None, scheme: str) -> str | None:
        """Return why a request is refused, whoever asks; None where it is not."""
        if not self._is_ours(host):
            return "This page is not served under that name."
        if origin is not None and origin != f"{scheme}://{host}":
            return "This page answers only to itself."
        return None

    def knows(self, token: str | None) -> bool:
        """Return whether the token is right, or none is needed; takes the same time for every wrong one."""
        if self.token is None:
            return True
        return token is not None and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.token.encode()
        )

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in LOOPBACK_NAMES:
            return True
        if self.token is None:
            return name == self.bound
        if is_address(name):  # a browser that was told an address has asked no name server
            return True
        machine = socket.gethostname().lower()
        return name in {self.bound.lower(), machine, machine.split(".", maxsplit=1)[0], f"{machine}.local"}


def is_address(name: str) -> bool:
    """Return whether a host is written as an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host.lower() == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback
