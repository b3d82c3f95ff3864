"""How often somebody may do what costs the registry something, counted by each process for itself.

Who asks is told by their network address, an IPv6 one by its first 64 bits. Where a proxy on a private
network passes requests on, the last address that it names counts.
"""

import threading
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from flask import request

from registry.errors import TooManyRequestsError

__all__ = ["Rate", "who_asks"]

_MOST_KEPT = 100_000
"""Addresses that are remembered; when there are more, those whose time is over are forgotten."""
_NETWORK = 64


class Rate:
    """At most ``most`` in ``seconds``, for each address: all at once, or spread (GCRA).

    ``now`` gives seconds. ``most`` of 0 is never.
    """

    def __init__(self, most: int, seconds: float, what: str, now: Callable[[], float]) -> None:
        self._most, self._seconds, self._what, self._now = most, seconds, what, now
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, who: str) -> None:
        """Count one. Raises :class:`TooManyRequestsError`, and then counts nothing."""
        with self._lock:
            now = self._now()
            until = max(self._until.get(who, now), now)
            if until - now > self._room:
                raise self._refusal()
            self._until[who] = until + self._seconds / self._most
            self._forget(now)

    def require(self, who: str) -> None:
        """Raise :class:`TooManyRequestsError` where one more would be too many; count nothing."""
        with self._lock:
            now = self._now()
            if self._until.get(who, now) - now > self._room:
                raise self._refusal()

    @property
    def _room(self) -> float:
        """How far ahead of now somebody may be and still take one; below zero where nobody may."""
        return self._seconds - self._seconds / self._most if self._most else -1.0

    def _refusal(self) -> TooManyRequestsError:
        minutes = max(1, round(self._seconds / 60))
        return TooManyRequestsError(
            f"{self._what}: more than {self._most} within {minutes} minutes from your network",
            hint="Nothing was lodged or changed by this request. Come back later.",
        )

    def _forget(self, now: float) -> None:
        if len(self._until) > _MOST_KEPT:
            self._until = {who: until for who, until in self._until.items() if until > now}


def who_asks() -> str:
    """Return whose request this is, as rates count them."""
    said = request.remote_addr or ""
    named = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return _network(named) if named and _is_private(said) and _is_address(named) else _network(said)


def _is_private(text: str) -> bool:
    return _is_address(text) and ip_address(text).is_private


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> str:
    if not _is_address(text) or ip_address(text).version == 4:
        return text
    return str(ip_network((ip_address(text), _NETWORK), strict=False))
