"""What we sign others verify, and nothing else."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from registry.webhook import SECRET_BYTES, secret_text, signed_headers

SECRET = bytes(range(SECRET_BYTES))
NOW = int(datetime.now(UTC).timestamp())


@given(
    st.binary(min_size=24, max_size=64),
    st.integers(0, 2**32),
    st.text(st.characters(codec="utf-8"), max_size=50),
)
def test_the_library_of_the_standard_signs_alike(secret, timestamp, body):
    headers = signed_headers(secret, "msg_1", timestamp, body.encode())
    theirs = Webhook(secret_text(secret)).sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body)
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": theirs,
    }


def test_the_published_vector():
    # Of the specification's own libraries: secret, id, time, payload and signature.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


TAMPERED = {
    "nothing": ({}, True),
    "the body": ({"body": '{"a":2}'}, False),
    "the id": ({"webhook-id": "msg_2"}, False),
    "the time": ({"webhook-timestamp": str(NOW + 1)}, False),
    "the signature": ({"webhook-signature": "v1," + "A" * 43 + "="}, False),
    "the version": ({"webhook-signature": "v2"}, False),
    "the secret": ({"secret": secret_text(bytes(32))}, False),
    "sent again, an hour later": ({"age": "3600"}, False),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_one_that_was_changed_is_refused(case):
    changes, holds = TAMPERED[case]
    body = '{"a":1}'
    now = int(datetime.now(UTC).timestamp()) - int(changes.get("age", "0"))
    headers = signed_headers(SECRET, "msg_1", now, body.encode())
    headers |= {name: value for name, value in changes.items() if name in headers}
    hook = Webhook(changes.get("secret", secret_text(SECRET)))
    try:
        hook.verify(changes.get("body", body), headers)
    except (WebhookVerificationError, ValueError):
        verified = False
    else:
        verified = True
    assert verified is holds
