"""How a webhook is signed, so that whoever gets it knows who sent it, and which one it is.

The headers are those of Standard Webhooks, and its libraries verify them: ``webhook-id`` is the same each
time that one is sent again, ``webhook-timestamp`` is when it is sent, in seconds since 1970, and
``webhook-signature`` is HMAC-SHA256, in Base64 after ``v1,``, over id, timestamp and body with points
between.

Source: Standard Webhooks 1.0.0, https://www.standardwebhooks.com.
"""

import base64
import hmac
from hashlib import sha256

__all__ = ["ID_PREFIX", "SECRET_BYTES", "secret_text", "signed_headers"]

SECRET_BYTES = 32
"""Random bytes of a secret; the standard asks for 24 to 64."""

ID_PREFIX = "msg_"
_SECRET_PREFIX = "whsec_"  # noqa: S105 - says that a secret follows


def secret_text(secret: bytes) -> str:
    """Return a secret as its owner keeps it: ``whsec_`` and Base64."""
    return _SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(secret: bytes, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers under which ``body`` is sent at ``timestamp``, seconds since 1970."""
    signed = f"{id_}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, sha256)).decode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
