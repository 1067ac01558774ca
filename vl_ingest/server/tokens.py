"""Bearer tokens: made from a key and its secret, read from a file, or printed by a command.

A token that the server refuses (401) is replaced once, for all workers together; only a refusal of a token
that was made after a refusal is final.
"""

import shlex
import subprocess
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

from vl_ingest import clock
from vl_ingest.domain.errors import CredentialsRefused, Refused
from vl_ingest.server import variables

LIFETIME = timedelta(minutes=10)  # as in the vendor's sample
RENEW_BEFORE = timedelta(minutes=2)


@dataclass(frozen=True)
class Token:
    """A bearer token. `number` counts the tokens of this process from 1; the value never shows in a repr."""

    value: str
    number: int
    after_refusal: bool
    is_new: bool = True  # another value than the one before

    def __repr__(self) -> str:
        return f"Token(number={self.number})"


class Tokens:
    """Tokens for any number of threads. `source` makes a new one; it is told the server's idea of now."""

    def __init__(self, source: Callable[[timedelta], str] | None, lifetime: timedelta | None = None) -> None:
        self._source = source
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self.skew: timedelta | None = None  # the server's clock against this one, once an answer has told
        self._token: Token | None = None
        self._made_at = 0.0
        self._accepted = 0

    def current(self) -> Token | None:
        """Return the token to send now, made anew when its life is nearly over; None: send no header."""
        if self._source is None:
            return None
        with self._lock:
            if self._token is None or self._nearly_over():
                self._token = self._make(after_refusal=False)
            return self._token

    def accepted(self, token: Token | None) -> None:
        """Note that the server has taken a token."""
        if token is not None:
            self._accepted = max(self._accepted, token.number)

    def renew(self, refusal: CredentialsRefused) -> None:
        """Replace the token that was refused, unless another worker has done so already.

        Raises `Refused` if that token had itself been made after a refusal, or if there is none.
        """
        with self._lock:
            token = self._token
            if token is None:
                raise Refused(
                    f"The server requires credentials, and none were sent ({refusal.detail}). Set {variables.PAIR}, and "
                    "leave out --no-auth if it is given; then run the command again."
                ) from refusal
            if refusal.token_number < token.number:
                return
            if token.after_refusal and self._accepted < token.number:
                refused = "the credentials, even with a new token" if token.is_new else "the token"
                cure = "Check them" if token.is_new else "Replace it"
                raise Refused(
                    f"The server refuses {refused}: {refusal.detail}. {cure}, then "
                    "run the same command again to continue."
                ) from refusal
            self._token = self._make(after_refusal=True)

    def observe_date(self, header: str | None) -> None:
        """Learn from an answer's `Date` how far the server's clock is from this machine's."""
        if not header:
            return
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return  # a proxy's odd date teaches nothing
        if moment.tzinfo is not None:
            self.skew = moment - clock.now()

    def _nearly_over(self) -> bool:
        if self._lifetime is None:
            return False
        return clock.monotonic() - self._made_at > (self._lifetime - RENEW_BEFORE).total_seconds()

    def _make(self, *, after_refusal: bool) -> Token:
        assert self._source is not None  # noqa: S101  # both callers have looked
        last = self._token
        self._made_at = clock.monotonic()
        value = self._source(self.skew or timedelta())
        # One that is made here is new, even where it reads the same within a second.
        is_new = self._lifetime is not None or last is None or last.value != value
        return Token(value, 1 if last is None else last.number + 1, after_refusal, is_new)


def from_key(key: str, secret: str) -> Tokens:
    """Return tokens minted from an API key and secret: HS256, `kid` and `sub` the key, `iss` "sdk"."""

    def mint(skew: timedelta) -> str:
        import jwt

        issued = int((clock.now() + skew).timestamp())
        claims = {"sub": key, "iss": "sdk", "iat": issued, "exp": issued + int(LIFETIME.total_seconds())}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on short secrets: their length is the vendor's choice
            return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key})

    return Tokens(mint, LIFETIME)


def from_file(path: str) -> Tokens:
    """Return tokens read from a file, again after each refusal."""

    def read(_skew: timedelta) -> str:
        try:
            with open(path, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, UnicodeError) as exc:
            raise Refused(
                f"Can't read a token from {path}: {exc}. Fix the file and run the command again."
            ) from exc
        return checked(token, path)

    return Tokens(read)


def from_command(command: str) -> Tokens:
    """Return tokens that a command prints on its standard output, asked again after each refusal."""

    def ask(_skew: timedelta) -> str:
        try:
            done = subprocess.run(  # noqa: S603  # the user's own command, split and without a shell
                shlex.split(command), capture_output=True, text=True, timeout=60, check=True
            )
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            # Not its own words: they hold the whole command, and that may hold a secret.
            raise Refused(
                f"The token command gave no token: {_why(exc)}. Fix it and run the command again."
            ) from exc
        return checked(done.stdout.strip(), "the token command")

    return Tokens(ask)


def _why(exc: Exception) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        return f"it ended with {exc.returncode}"
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"nothing came within {exc.timeout:.0f} s"
    return exc.strerror or "it can't be started" if isinstance(exc, OSError) else "it is not a command"


def checked(token: str, origin: str) -> str:
    """Return `token` if it can stand in a header; never show it."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Refused(f"{origin} gave no token: expected one line of printable ASCII without spaces.")
    return token
