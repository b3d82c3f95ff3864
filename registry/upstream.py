"""Reading from other registries over HTTP: the one place where the service calls out.

Only addresses that the operator named are called. Nothing is followed elsewhere, every answer has a largest
size, and every read a time limit.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

import registry
from registry.errors import (
    InputError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
    SettingsError,
)
from registry.jsontext import strict_json

__all__ = ["Upstream"]

_SECONDS = (10.0, 60.0)
"""To connect, and between two reads."""
_LARGEST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upstream:
    """Another registry at ``url``; ``key`` is an API key with the scope ``mirror``.

    Each method raises :class:`RegistryUnreachableError`, :class:`RegistryRefusedError` or
    :class:`RegistryAnswerError`.
    """

    url: str
    key: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise SettingsError(
                f"not the address of a registry: {self.url!r}", hint="Give it as https://registry.example."
            )

    def checkpoint(self) -> str:
        """Return the last signed state of its log."""
        try:
            return self._get("/checkpoint").decode()
        except UnicodeDecodeError as error:
            raise self._wrong("a checkpoint that is no text") from error

    def keys(self) -> dict[str, Any]:
        """Return the keys of its log, with the evidence of their announcement."""
        return self._json("/api/v1/log/keys")

    def changes(self, after: int) -> dict[str, Any]:
        """Return a page of the events after one."""
        page = self._json(f"/api/v1/changes?after={after}")
        if not isinstance(page.get("events"), list) or type(page.get("head")) is not int:
            raise self._wrong("a page of changes without events or head")
        return page

    def _json(self, path: str) -> dict[str, Any]:
        try:
            answer = strict_json(self._get(path))
        except InputError as error:
            raise self._wrong(error.message) from error
        if not isinstance(answer, dict):
            raise self._wrong("JSON of another form")
        return answer

    def _get(self, path: str) -> bytes:
        headers = {"User-Agent": f"caveat/{registry.__version__}"}
        if self.key:
            headers["Authorization"] = f"API {self.key}"
        address = self.url.rstrip("/") + path
        try:
            with requests.get(
                address, headers=headers, timeout=_SECONDS, allow_redirects=False, stream=True
            ) as response:
                data = self._bounded(response)
        except requests.RequestException as error:
            raise RegistryUnreachableError(
                f"the registry at {self.url} cannot be reached", hint="It is tried again."
            ) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise RegistryUnreachableError(f"{address} answered {response.status_code}")
        if response.status_code != 200:
            raise RegistryRefusedError(
                f"{address} refused ({response.status_code})",
                hint="Following wants a key of scope mirror: CAVEAT_MIRROR_KEY.",
            )
        return data

    def _bounded(self, response: requests.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_content(1 << 16):
            data += chunk
            if len(data) > _LARGEST:
                raise self._wrong(f"more than {_LARGEST >> 20} MiB")
        return bytes(data)

    def _wrong(self, what: str) -> RegistryAnswerError:
        return RegistryAnswerError(f"the registry at {self.url} answered {what}; nothing follows from that")
