"""Timestamps by another authority: asked of OpenSSL's own, and every other answer an error by name."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from registry.errors import FetchError, ProofError, RefusedAddressError
from registry.fetch import TIMESTAMP, Fetcher
from registry.timestamping import Timestamper
from tests.api.authority import Authority, answering, authority

DATA = b'{"record": "k3"}\n'


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as one:
        yield one


def asking(url: str, *, private: bool = True) -> Timestamper:
    return Timestamper(url, Fetcher(replace(TIMESTAMP, private=private)))


def test_openssl_verifies_what_was_stamped_and_the_data_stays_here(tsa: Authority) -> None:
    stamper = asking(tsa.url)
    stamp = stamper.stamp(DATA)
    assert tsa.verify(DATA, stamp.reply) == b"Verification: OK\n"
    assert sha256(DATA).digest() in tsa.asked[-1]
    assert DATA not in tsa.asked[-1]
    asked = len(tsa.asked)
    assert stamper.stamp(DATA) == stamp
    assert len(tsa.asked) == asked
    assert stamper.stamp(DATA + b" ").serial != stamp.serial


def test_the_token_of_other_data_or_of_another_request_is_refused(tsa: Authority) -> None:
    token = asking(tsa.url).stamp(DATA).reply
    with answering(lambda _: (200, token)) as url:
        with pytest.raises(ProofError, match="something else than it was sent"):
            asking(url).stamp(b"other")
        with pytest.raises(ProofError, match="another request"):
            asking(url).stamp(DATA)


WRONG = {
    "an error": (500, b"", FetchError, "answered 500"),
    "a redirect": (302, b"", FetchError, "answered 302"),
    "nonsense": (200, b"<html>", ProofError, "answered no timestamp"),
    "nothing": (200, b"", ProofError, "answered no timestamp"),
    "a refusal": (
        200,
        bytes.fromhex("30053003020102"),
        ProofError,
        r"refused \(status 2: without",
    ),
    "granted, without a token": (200, bytes.fromhex("30053003020100"), ProofError, "answered no timestamp"),
    "too much": (200, bytes(70_000), FetchError, "answered too much"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_timestamp_is_an_error_by_name(case: str) -> None:
    status, body, kind, told = WRONG[case]
    with answering(lambda _: (status, body)) as url, pytest.raises(kind, match=told):
        asking(url).stamp(DATA)


def test_nobody_answers() -> None:
    with pytest.raises(FetchError, match="no answer"):
        asking("http://127.0.0.1:1/").stamp(DATA)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "http://169.254.169.254/"]
)
def test_an_address_that_is_not_public_is_not_called(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        asking(url, private=False).stamp(DATA)
