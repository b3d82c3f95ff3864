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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPException
from types import MappingProxyType
from typing import Any

import ada_url
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

import registry
from registry.errors import FetchError, InvalidUrlError, RefusedAddressError
from registry.http_answer import Until, answer_class, decoded
from registry.urls import canonicalize_url

__all__ = [
    "SITE_SIGNALS",
    "TIMESTAMP",
    "USER_AGENT",
    "WEBHOOK",
    "Fetched",
    "Fetcher",
    "Policy",
    "is_public",
    "require_callable",
]

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
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a call may cost: ``largest`` in bytes, decoded; seconds to connect, between two reads, in all.

    All is each redirect, the headers and the body; only that the name is looked up takes its own time.
    ``private`` lets it reach addresses and ports that are not public: for an operator's own hosts.
    With ``secure`` it calls https only. ``loopback`` lets it reach this machine, at any port and without TLS:
    for development.
    """

    name: str
    largest: int
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    redirects: int = 5
    private: bool = False
    secure: bool = False
    loopback: bool = False


SITE_SIGNALS = Policy("site signals", largest=6_000_000)
"""For the files in which a site says how its works may be used; a robots.txt may have 5 MB."""

TIMESTAMP = Policy("timestamp", largest=64_000, total_seconds=10.0, redirects=0)
"""For the authority that stamps evidence (RFC 3161); what it answers is signed, so http does."""

WEBHOOK = Policy("webhook", largest=0, total_seconds=20.0, redirects=0, secure=True)
"""For telling a subscriber: nothing of the answer is read but its status, and no redirect is followed."""


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
    _until: Until = field(default_factory=Until, init=False, repr=False)
    _manager: urllib3.PoolManager = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._manager = _manager(self.policy, self.resolve, self._until)

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

    def post(self, url: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Send ``data`` under ``headers``, and return the status of the answer; a redirect is one, too.

        Raises as :meth:`get`.
        """
        self._until.begin(self.policy.total_seconds)
        return self._once("POST", _called(url), body=False, sent=data, headers=headers).status

    def ask(self, url: str, data: bytes, headers: Mapping[str, str]) -> Fetched:
        """Send ``data`` under ``headers``, and return the answer; no redirect is followed.

        Raises as :meth:`get`.
        """
        self._until.begin(self.policy.total_seconds)
        return self._once("POST", _called(url), body=True, sent=data, headers=headers)

    def _call(self, method: str, url: str, *, body: bool = True) -> Fetched:
        self._until.begin(self.policy.total_seconds)
        for _ in range(self.policy.redirects + 1):
            answer = self._once(method, url := _called(url), body=body)
            there = answer.header("location")
            if answer.status not in _REDIRECTS or not there:
                return answer
            url = _led_on(url, there)
        raise FetchError(f"{url}: more than {self.policy.redirects} redirects")

    def _once(
        self,
        method: str,
        url: str,
        *,
        body: bool,
        sent: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Fetched:
        try:
            response = self._manager.request(
                method,
                url,
                body=sent,
                redirect=False,
                preload_content=False,
                headers={"User-Agent": USER_AGENT, **headers},
            )
            try:
                data, cut = self._body(response) if body else (b"", True)
            except BaseException:
                response.close()
                raise
        except (HTTPError, OSError, ValueError) as error:
            raise FetchError(f"{url}: no answer ({_plainly(error)})") from error
        if cut:
            response.close()
        response.release_conn()
        told = tuple((str(name), str(value)) for name, value in response.headers.items())
        return Fetched(url, response.status, told, data, cut and body)

    def _body(self, response: urllib3.BaseHTTPResponse) -> tuple[bytes, bool]:
        largest = self.policy.largest
        data = decoded(_chunks(response), response.headers.get("content-encoding", ""), largest)
        return data[:largest], len(data) > largest


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while chunk := response.read1(_AT_ONCE, decode_content=False):
        yield chunk


def _led_on(url: str, there: str) -> str:
    """Return where a redirect leads, as browsers read it. Raises :class:`RefusedAddressError`."""
    try:
        # Headers come as Latin-1, whatever their bytes are.
        return str(ada_url.join_url(url, there.encode("latin-1").decode("utf-8", "replace")))
    except ValueError as error:
        raise RefusedAddressError(f"{url}: leads on to {there[:200]!r}, which is no address") from error


def _called(url: str) -> str:
    """Return the address as browsers write it. Raises :class:`RefusedAddressError` for any but http(s)."""
    try:
        canonicalize_url(url)
        return str(ada_url.URL(url).href)
    except (InvalidUrlError, ValueError) as error:
        raise RefusedAddressError(f"{url[:200]!r} is not called: not an address of the web") from error


def _manager(policy: Policy, resolve: Resolve, until: Until) -> urllib3.PoolManager:
    """Return what keeps the connections; each is made to an address that was checked right before."""
    answers = answer_class(until, policy.read_seconds)

    class Http(HTTPConnection):
        response_class = answers

        def _new_conn(self) -> socket.socket:
            return _connected(self, policy, resolve, until)

    class Https(HTTPSConnection):
        response_class = answers

        def _new_conn(self) -> socket.socket:
            return _connected(self, policy, resolve, until)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    timeout = urllib3.Timeout(connect=policy.connect_seconds, read=policy.read_seconds)
    manager = urllib3.PoolManager(num_pools=64, maxsize=4, timeout=timeout, retries=False)
    manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return manager


def _connected(connection: HTTPConnection, policy: Policy, resolve: Resolve, until: Until) -> socket.socket:
    host, port = connection.host.strip("[]"), int(connection.port or connection.default_port)
    called = _Host(host, port, isinstance(connection, HTTPSConnection))
    if not policy.loopback:
        called.require(policy, ())  # Before anybody is asked about the name.
    answers = resolve(host, port)
    called.require(policy, [address[0] for *_, address in answers])
    fault: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in answers:
        seconds = until.left(policy.connect_seconds)
        reached = socket.socket(family, kind, protocol)
        try:
            reached.settimeout(seconds)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reached.connect(address)
        except OSError as error:
            reached.close()
            fault = error
        else:
            return reached
    raise fault


@dataclass(frozen=True, slots=True)
class _Host:
    """Who is about to be called, and whether with TLS."""

    name: str
    port: int
    is_secure: bool

    def require(self, policy: Policy, addresses: Sequence[str]) -> None:
        """Raise :class:`RefusedAddressError` where the policy does not call this host at ``addresses``."""
        if policy.loopback and addresses and all(map(_is_loopback, addresses)):
            return
        if policy.secure and not self.is_secure:
            raise RefusedAddressError(f"{self.name} is not called: only https is")
        if policy.private:
            return
        if self.port not in _PORTS:
            raise RefusedAddressError(f"{self.name}:{self.port} is not called: only the ports 80 and 443 are")
        for address in addresses:
            if not is_public(address):
                raise RefusedAddressError(f"{self.name} is not called: {address} is not a public address")


def require_callable(url: str, policy: Policy) -> str:
    """Return an address as it will be called under ``policy``.

    Names are not looked up here: that is done at each call. Raises :class:`RefusedAddressError` for what
    would never be called.
    """
    href = _called(url)
    parts = ada_url.URL(href)
    is_secure = parts.protocol == "https:"
    host = _Host(str(parts.hostname).strip("[]"), int(parts.port or (443 if is_secure else 80)), is_secure)
    if parts.username or parts.password:
        raise RefusedAddressError(f"{host.name} is not called: the address has a name or a password in it")
    host.require(policy, _literal(host.name))
    return href


def _literal(host: str) -> list[str]:
    """Return the address that a host itself says it is at, where it does."""
    if host == "localhost":  # RFC 6761, 6.3
        return ["127.0.0.1"]
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return []


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the public internet's. Raises ValueError for what is none."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    refused = any(parsed in net for net in _REFUSED if net.version == parsed.version)
    return parsed.is_global and not parsed.is_multicast and not refused


def _plainly(error: BaseException) -> str:
    """Return what was wrong, in few words, of errors that wrap others."""
    while (inner := _inner(error)) is not None:
        error = inner
    if isinstance(error, BadStatusLine) and not isinstance(error, ConnectionError):
        return f"it is not HTTP: {str(error)[:40]!r}"
    return getattr(error, "strerror", None) or str(error).rpartition(": ")[2][:200] or type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    """Return the error in an error: urllib3 has it as the cause, or as the last of what it was made of."""
    if isinstance(error, HTTPError) and error.args and isinstance(error.args[-1], Exception):
        return error.args[-1]
    return error.__cause__ if isinstance(error.__cause__, OSError | HTTPException) else None
