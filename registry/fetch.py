"""Reading from hosts that nobody vouches for: the one way in which an address found in data is called.

A :class:`Policy` bounds each call: how large an answer may be, how long it may take, how many redirects are
followed. Every address that a name resolves to must be public, before each connection and after each
redirect, and the connection goes to the very address that was checked. Ports are 80 and 443, schemes http and
https. No cookies are kept, no credentials sent, no proxy of the environment is used.

Source: the IANA special-purpose address registries (RFC 6890), as :mod:`ipaddress` has them, and what they
leave out (``_REFUSED``).
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import ada_url
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

import registry
from registry.errors import FetchError, InvalidUrlError, RefusedAddressError
from registry.urls import canonicalize_url

__all__ = ["SITE_SIGNALS", "USER_AGENT", "Fetched", "Fetcher", "Policy", "is_public"]

USER_AGENT = f"caveat/{registry.__version__} (reads reservations of rights; fetches nothing else)"
"""One name for all that is asked; a site addresses it in robots.txt as ``caveat``."""

_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # the host of a virtual machine, at one cloud
            "192.88.99.0/24",  # relays to IPv6, given up
            "::/96",
            "::ffff:0:0/96",
            "::ffff:0:0:0/96",
            "64:ff9b::/96",  # to any IPv4 address
            "2001::/23",
            "2002::/16",  # to any IPv4 address
            "fec0::/10",
        ),
    )
)
_PORTS = frozenset({80, 443})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Policy:
    """What a call may cost: ``largest`` in bytes, decoded; seconds to connect, between two reads, in all.

    ``private`` lets it reach addresses and ports that are not public: for an operator's own hosts.
    """

    name: str
    largest: int
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    redirects: int = 5
    private: bool = False


SITE_SIGNALS = Policy("site signals", largest=6_000_000)
"""For the files in which a site says how its works may be used; a robots.txt may have 5 MB."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: its last address, status and headers in order. ``cut`` says that the body goes on."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    data: bytes = b""
    cut: bool = False

    def header(self, name: str) -> str:
        """Return the first header of that name, empty without one."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


Resolve = Callable[[str, int], Sequence[tuple[Any, ...]]]


def _resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@dataclass(slots=True)
class Fetcher:
    """Calls under one policy; may be used by several threads. ``resolve`` answers as getaddrinfo does."""

    policy: Policy
    resolve: Resolve = _resolve
    _manager: urllib3.PoolManager = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._manager = _manager(self.policy, self.resolve)

    def close(self) -> None:
        """Close the connections."""
        self._manager.clear()

    def get(self, url: str) -> Fetched:
        """Return the answer, whatever its status; a body longer than the policy lets is cut.

        Raises :class:`RefusedAddressError` for what may not be called, :class:`FetchError` without an answer.
        """
        return self._call("GET", url)

    def head(self, url: str) -> Fetched:
        """Return the answer to HEAD, and where that is not known, the headers of the answer to GET."""
        answer = self._call("HEAD", url)
        return self._call("GET", url, body=False) if answer.status in (405, 501) else answer

    def _call(self, method: str, url: str, *, body: bool = True) -> Fetched:
        end = time.monotonic() + self.policy.total_seconds
        for _ in range(self.policy.redirects + 1):
            answer = self._once(method, url := _called(url), end, body=body)
            there = answer.header("location")
            if answer.status not in _REDIRECTS or not there:
                return answer
            url = urljoin(url, there)
        raise FetchError(f"{url}: more than {self.policy.redirects} redirects")

    def _once(self, method: str, url: str, end: float, *, body: bool) -> Fetched:
        try:
            response = self._manager.request(
                method, url, redirect=False, preload_content=False, headers={"User-Agent": USER_AGENT}
            )
            try:
                data, cut = self._body(response, url, end) if body else (b"", True)
            except BaseException:
                response.close()
                raise
        except (HTTPError, OSError, ValueError) as error:
            raise FetchError(f"{url}: no answer ({_plainly(error)})") from error
        if cut:
            response.close()
        response.release_conn()
        headers = tuple((str(name), str(value)) for name, value in response.headers.items())
        return Fetched(url, response.status, headers, data, cut and body)

    def _body(self, response: urllib3.BaseHTTPResponse, url: str, end: float) -> tuple[bytes, bool]:
        data = bytearray()
        while chunk := response.read1(_AT_ONCE):
            data += chunk
            if len(data) > self.policy.largest:
                return bytes(data[: self.policy.largest]), True
            if time.monotonic() > end:
                raise FetchError(f"{url}: not all came within {self.policy.total_seconds:g} s")
        return bytes(data), False


def _called(url: str) -> str:
    """Return the address as browsers write it. Raises :class:`RefusedAddressError` for any but http(s)."""
    try:
        canonicalize_url(url)
        return str(ada_url.URL(url).href)
    except (InvalidUrlError, ValueError) as error:
        raise RefusedAddressError(f"{url[:200]!r} is not called: not an address of the web") from error


def _manager(policy: Policy, resolve: Resolve) -> urllib3.PoolManager:
    """Return what keeps the connections; each is made to an address that was checked right before."""

    class Http(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, policy, resolve)

    class Https(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, policy, resolve)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    timeout = urllib3.Timeout(connect=policy.connect_seconds, read=policy.read_seconds)
    manager = urllib3.PoolManager(num_pools=64, maxsize=4, timeout=timeout, retries=False)
    manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return manager


def _connected(connection: HTTPConnection, policy: Policy, resolve: Resolve) -> socket.socket:
    host, port = connection.host.strip("[]"), int(connection.port or connection.default_port)
    if not policy.private and port not in _PORTS:
        raise RefusedAddressError(f"{host}:{port} is not called: only the ports 80 and 443 are")
    answers = resolve(host, port)
    for *_, address in answers:
        if not policy.private and not is_public(address[0]):
            raise RefusedAddressError(f"{host} is not called: {address[0]} is not a public address")
    fault: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in answers:
        reached = socket.socket(family, kind, protocol)
        try:
            reached.settimeout(policy.connect_seconds)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reached.connect(address)
        except OSError as error:
            reached.close()
            fault = error
        else:
            return reached
    raise fault


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the public internet's. Raises ValueError for what is none."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    refused = any(parsed in net for net in _REFUSED if net.version == parsed.version)
    return parsed.is_global and not parsed.is_multicast and not refused


def _plainly(error: Exception) -> str:
    """Return what was wrong, in few words, of errors that wrap others."""
    while error.__cause__ is not None and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return getattr(error, "strerror", None) or str(error).rpartition(": ")[2][:200] or type(error).__name__
