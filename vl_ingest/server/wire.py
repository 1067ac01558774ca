"""How requests travel: sessions whose connections send in large blocks and tell whether they have begun.

`requests` builds the connections and says too little when one fails: whether anything of a request may have
reached the server decides between "try again" and "unknown". So the connections of urllib3 are extended here.
"""

import os
import ssl
from functools import lru_cache
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from vl_ingest.domain.errors import UsageError
from vl_ingest.server.body import BLOCK_BYTES
from vl_ingest.server.tokens import Token
from vl_ingest.version import __version__

DEFAULT_AUTHORITIES = str(requests.utils.DEFAULT_CA_BUNDLE_PATH)
USER_AGENT = f"vl-ingest/{__version__} {requests.utils.default_user_agent()}"


class Bearer(AuthBase):
    """Sets the header, or none; being there, it keeps requests from looking into ~/.netrc."""

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header to a request that is about to be sent."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.value}"
        return request


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, without user and password; None: there is none."""
    proxies = requests.utils.get_environ_proxies(url, no_proxy=None)
    proxy = requests.utils.select_proxy(url, proxies)
    return None if proxy is None else urllib3.util.parse_url(proxy)._replace(auth=None).url


@lru_cache(maxsize=16)
def prepared(url: str) -> str:
    """Return a URL as it is asked for: what has to be quoted is, and the host's name is ASCII."""
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url)


def authorities() -> str:
    """Return the file or folder of the authorities whose certificates requests trust."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return named or DEFAULT_AUTHORITIES


def trust() -> ssl.SSLContext:
    """Return a context with the same authorities. Raises `UsageError` where the environment names none that can be read."""
    place = authorities()
    try:
        if os.path.isdir(place):
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as exc:  # also `SSLError`
        raise UsageError(
            f"Can't read the certificates in {place}: {exc.strerror or exc}. Check what REQUESTS_CA_BUNDLE (or "
            "CURL_CA_BUNDLE) names, or unset it."
        ) from exc


class Wire:
    """What the connection knows and requests does not tell."""

    def __init__(self) -> None:
        self.started = True  # something of the request may have been written
        self.cut = False  # not all of the request could be written
        self.timeout_s = 120.0
        self.used_at = 0.0  # when the last answer had come, on the monotonic clock


class Session(requests.Session):
    """A session for one thread whose connections report to `wire`."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        self.headers["Cache-Control"] = "no-cache, no-store"  # an old status would decide on the trigger
        adapter = Adapter(self.wire)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self._environment: Any = None

    def merge_environment_settings(self, *args: Any) -> Any:
        """Return proxies and certificates; read from the environment once, as a session has one server."""
        if self._environment is None:
            self._environment = super().merge_environment_settings(*args)
        return self._environment


class Adapter(HTTPAdapter):
    """Sends in large blocks, repeats nothing, and knows whether a failed request had begun."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, blocksize=BLOCK_BYTES, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        """Return the pools for connections through a proxy."""
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, blocksize=BLOCK_BYTES, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: urllib3.PoolManager) -> None:
        wire = self._wire

        class Watched:
            """A connection that says when it connects and when it sends."""

            sock: Any

            def connect(self) -> None:
                wire.started = False
                super().connect()  # type: ignore[misc]  # mixed into urllib3's connections below
                wire.started = False  # a proxy's CONNECT is not the request

            def send(self, data: Any) -> None:
                if self.sock is None:
                    self.connect()
                self.sock.settimeout(wire.timeout_s)  # else a slow link is cut by the connect time-out
                wire.started = True
                try:
                    super().send(data)  # type: ignore[misc]  # mixed into urllib3's connections below
                except OSError:
                    wire.cut = True  # urllib3 does not tell if an answer came before
                    raise

        manager.pool_classes_by_scheme = {
            scheme: _pool_of(pool, Watched) for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _pool_of(pool: Any, mixed_in: type) -> Any:
    """Return a class of pools like `pool`, whose connections are also of `mixed_in`."""
    connection = type(f"Watched{pool.ConnectionCls.__name__}", (mixed_in, pool.ConnectionCls), {})
    return type(f"Watched{pool.__name__}", (pool,), {"ConnectionCls": connection})
