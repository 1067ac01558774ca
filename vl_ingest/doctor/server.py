"""What a run needs of the network and the server; a request that changes nothing is all that is sent."""

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from vl_ingest import clock
from vl_ingest.doctor.features import NO_ONE, NO_ROUTE, check_features, check_name
from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, failed, not_checked, ok, warning
from vl_ingest.domain.errors import (
    CredentialsRefused,
    Denied,
    GaveUp,
    NotAvailable,
    Redirected,
    Refused,
    RequestError,
    Undocumented,
    UsageError,
    VlIngestError,
)
from vl_ingest.server import variables
from vl_ingest.server.api import Api
from vl_ingest.server.credentials import Credentials
from vl_ingest.server.optional import Extras
from vl_ingest.server.wire import proxy_of, trust

CONNECT_TIMEOUT_S = 10.0
DAYS_LEFT = 14
CLOCK_OFF_S = 30.0


def check_server(
    base_url: str, find: Callable[[], Credentials], dataset_id: str | None, name: str | None = None
) -> Iterator[Check]:
    """Yield the checks from the name of the server to what it offers, and end where the next can't be made.

    `find` finds the credentials; `dataset_id` is one that the server should know, if there is one; `name` is what a
    dataset is to be called.
    """
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
    proxy = proxy_of(base_url)
    if proxy is not None:
        yield ok("proxy", f"Requests to {host} go through {proxy}.", proxy=proxy)
    else:
        yield ok("proxy", "None in effect.", proxy=None)
        found = _dns(host, port)
        yield found
        if found.exit_code:
            yield not_checked("connection", "credentials", "clock")
            return
        found = _connection(base_url, host, port, secure=parts.scheme == "https")
        yield found
        if found.exit_code:
            yield not_checked("credentials", "clock")
            return
    try:
        found_credentials = find()
        api = Api(base_url, found_credentials.tokens)
        api.tokens.current()
    except (UsageError, Refused) as exc:
        yield failed("credentials", exc)
        yield not_checked("clock")
        return
    accepted = check_credentials(api, found_credentials.origin, dataset_id)
    yield accepted
    yield _clock(api)
    if accepted.exit_code:
        return
    extras = Extras.beside(api)
    yield check_features(extras)
    if name is not None:
        yield check_name(extras, name)


def _dns(host: str, port: int) -> Check:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        error = GaveUp(f"{host} has no address: {exc}. Check the name (--base-url) and the network.")
        return failed("DNS", error)
    addresses = sorted({str(info[4][0]) for info in found})
    return ok("DNS", f"{host} is {', '.join(addresses[:3])}.", addresses=addresses)


def _connection(base_url: str, host: str, port: int, *, secure: bool) -> Check:
    """Connect, and look at the certificate."""
    name = "TLS" if secure else "TCP"
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as plain:
            if not secure:
                return _unencrypted(base_url, host)
            with trust().wrap_socket(plain, server_hostname=host) as connection:
                certificate, version = connection.getpeercert() or {}, connection.version()
    except UsageError as exc:
        return failed(name, exc)
    except ssl.SSLError as exc:
        return failed(name, _tls_trouble(host, port, exc))
    except OSError as exc:
        why = f"{host} port {port} can't be reached: {exc}."
        return failed(name, GaveUp(f"{why} Check the address, the network and any firewall."))
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - clock.now()).days
    text = f"{version}; the certificate holds for {words.several(days, 'day')}, until {ends:%Y-%m-%d}"
    if days < DAYS_LEFT:
        return warning(name, f"{text}. Have it renewed soon.", days_left=days)
    return ok(name, f"{text}.", days_left=days)


def _tls_trouble(host: str, port: int, exc: ssl.SSLError) -> VlIngestError:
    """Return the error for a connection that is made and not trusted, or speaks no TLS."""
    if not isinstance(exc, ssl.SSLCertVerificationError):
        why = f"{host} port {port} accepts connections, but no TLS: {exc.reason or exc}."
        return GaveUp(f"{why} Check the port, or whether the address begins with http://.")
    why = f"The certificate of {host} can't be trusted: {exc.verify_message.rstrip('.')}."
    if "mismatch" in why:
        return Refused(f"{why} Name the server as its certificate does.")
    return Refused(f"{why} If it is your own, set REQUESTS_CA_BUNDLE to its authority.")


def _unencrypted(base_url: str, host: str) -> Check:
    if host in ("127.0.0.1", "::1", "localhost"):
        return ok("TCP", f"{base_url} accepts connections.")
    text = f"{base_url} accepts connections, but they are not encrypted: use https to protect your token."
    return warning("TCP", text)


def check_credentials(api: Api, origin: str, dataset_id: str | None) -> Check:
    """Ask for the status of a dataset; that changes nothing, and the server must know who asks.

    `origin` says where the credentials come from.

    Raises `Refused` where no token can be found.
    """
    name = "credentials"
    has_token = api.tokens.current() is not None
    way = "accepts the credentials" if has_token else "asks for no credentials"
    try:
        status = api.dataset_status(dataset_id or NO_ONE)
    except CredentialsRefused as exc:
        text = f"The server refuses the credentials ({origin}): {exc.detail}. Check them."
        if not has_token:
            text = (
                f"The server requires credentials, and none were sent: {exc.detail}. Set {variables.PAIR} or "
                f"{variables.TOKEN}, or name a token or credentials file; and leave out --no-auth if it is given."
            )
        return failed(name, Refused(text))
    except Denied as exc:
        return _denied(name, api, exc, way, dataset_id)
    except Refused as exc:
        return failed(name, exc)
    except (Undocumented, Redirected) as exc:
        return _another_product(name, api, exc)
    except RequestError as exc:
        what = (
            f"Could not reach {api.base_url}"
            if exc.http_status is None
            else "The server gives an unexpected answer"
        )
        return failed(name, GaveUp(f"{what}: {words.clause(exc)}. Check --base-url, or try again later."))
    return ok(name, f"The server {way}: dataset {dataset_id} is {status.word}.", status=status.word)


def _knows_the_api(api: Api) -> bool:
    """Return whether an endpoint answers that only the API has: `NO_ROUTE` is also what frameworks say of any address."""
    extras = Extras(api.base_url, api.tokens)
    for ask in (extras.datasets, extras.health):
        try:
            ask()
        except NotAvailable:
            continue
        except (RequestError, Refused):
            return True  # nothing that speaks against it
        return True
    return False


def _another_product(name: str, api: Api, exc: RequestError) -> Check:
    text = (
        f"{api.base_url} answers, but not as the Visual Layer API does: {words.clause(exc)}. Check --base-url, and whether "
        "a proxy or a login page is in between."
    )
    return failed(name, Refused(text))


def _denied(name: str, api: Api, exc: Denied, way: str, dataset_id: str | None) -> Check:
    """Return what it means that the server knows us, but no such dataset."""
    if not exc.in_form or (exc.detail == NO_ROUTE and not _knows_the_api(api)):
        return _another_product(name, api, exc)
    if exc.http_status == 403:
        return failed(
            name, Refused(f"The account is not allowed to do this: {exc.detail}. Have that changed.")
        )
    if dataset_id is None:
        return ok(name, f"The server {way} (asked about a dataset that can't exist).")
    return warning(name, f"The server {way}, but does not know dataset {dataset_id}: {exc.detail}.")


def _clock(api: Api) -> Check:
    skew = api.tokens.skew
    if skew is None:
        return warning("clock", "No answer of the server has given a date to compare with.")
    off = skew.total_seconds()
    where = f"This clock is {abs(off):.0f} s {'behind' if off > 0 else 'ahead of'} the server's"
    if abs(off) > CLOCK_OFF_S:
        text = f"{where}. Tokens use the server's time, so a run still works; set the clock anyway."
        return warning("clock", text, off_s=round(off))
    return ok(
        "clock", f"{where}." if abs(off) >= 2 else "This clock agrees with the server's.", off_s=round(off)
    )
