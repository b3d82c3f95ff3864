"""API keys: their form, and the few things an operator does with them.

A key is ``cav_<environment>_<30 base62><6 base62>``; the last six are the CRC-32 of what stands before, so
that a mistyped or cut key is refused without a look into the database. Only the SHA-256 of a key is stored;
the key itself is shown once.

Scopes: ``lookup`` asks with detail and through the compatible routes; ``register`` lodges, changes and
withdraws own reservations; ``domain:NAME`` speaks for a registered domain (``domain:*`` for any); ``mirror``
follows all that is lodged; ``import:NAME`` imports works in bulk into the namespace of that name.
"""

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from registry.errors import InputError, NotFoundError
from registry.store import Store, principals
from registry.urls import registered_domain, url_rule

__all__ = ["NewKey", "create_key", "is_well_formed", "key_sha256", "parse_scopes"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(r"(cav_[A-Za-z]+_[0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)
_PLAIN_SCOPES = frozenset({"lookup", "mirror", "register"})
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: its identifier, its principal's, and the secret to show once."""

    id: str
    principal_id: str
    secret: str


def is_well_formed(key: str) -> bool:
    """Say whether ``key`` has the form of a key and its checksum fits."""
    match = _FORM.fullmatch(key)
    return match is not None and match[2] == _checksum(match[1])


def key_sha256(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def parse_scopes(texts: Iterable[str]) -> frozenset[str]:
    """Read scopes as an operator writes them. Raises :class:`InputError` that names the wrong one."""
    scopes = set()
    for text in texts:
        name, colon, domain = text.partition(":")
        if text in _PLAIN_SCOPES or text == "domain:*":
            scopes.add(text)
        elif name == "domain" and colon:
            host = url_rule("host", domain).text
            scopes.add(f"domain:{registered_domain(host) or host}")
        elif name == "import" and _NAMESPACE.fullmatch(domain):
            scopes.add(text)
        else:
            raise InputError(
                f"no scope {text!r}",
                hint="Scopes are lookup, register, mirror, domain:NAME, domain:* (any domain) and "
                "import:NAME (lower-case letters, digits and hyphens).",
            )
    return frozenset(scopes)


def create_key(
    store: Store,
    *,
    name: str,
    scopes: frozenset[str],
    evidence_level: int,
    environment: str,
    at: int,
    principal_id: str | None = None,
    import_key: str | None = None,
) -> NewKey:
    """Make a key, of a new principal or of ``principal_id``; ``at`` in seconds since 1970.

    ``import_key`` is the public key that signs the principal's imports from now on. Raises
    :class:`NotFoundError` when there is no such principal.
    """
    key = NewKey(secrets.token_hex(8), principal_id or secrets.token_hex(8), _new_secret(environment))
    with store.administer() as connection:
        if principal_id is None:
            principals.add_principal(connection, {"id": key.principal_id, "name": name, "created_at": at})
        elif not principals.has_principal(connection, principal_id):
            raise NotFoundError(f"no principal {principal_id}", hint="caveat api-keys list shows them.")
        if import_key is not None:
            principals.set_import_key(connection, key.principal_id, import_key)
        principals.add_credential(
            connection,
            {
                "id": key.id,
                "principal_id": key.principal_id,
                "sha256": key_sha256(key.secret),
                "scopes": " ".join(sorted(scopes)),
                "evidence_level": evidence_level,
                "created_at": at,
                "revoked_at": None,
            },
        )
    return key


def _new_secret(environment: str) -> str:
    head = f"cav_{environment}_" + "".join(secrets.choice(_ALPHABET) for _ in range(30))
    return head + _checksum(head)


def _checksum(head: str) -> str:
    rest, digits = zlib.crc32(head.encode()), []
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
