"""A certificate authority of the tests' own, and the leaves that sign for it.

The profile is that of the C2PA specification, section 14.5: version 3, a key usage with digitalSignature,
one of the extended key usages for signing, subject and authority key identifiers.
"""

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
PURPOSES = {
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "documentSigning": DOCUMENT_SIGNING,
    "claimSigning": CLAIM_SIGNING,
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
}
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_SERIALS = itertools.count()
_FIRST_SERIAL = 1 << 120  # of one length too
KEYS: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - what is refused
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
}


@dataclass(frozen=True)
class Issued:
    """A chain, leaf first, and the leaf's key, both PEM; ``root`` is the authority's, ``der`` the leaf."""

    chain: bytes
    key: bytes
    root: bytes
    der: bytes


@cache
def authority() -> tuple[x509.Certificate, ed25519.Ed25519PrivateKey]:
    # Ed25519: its signatures are all of one length, so leaves that differ in a date or a purpose are too.
    key = ed25519.Ed25519PrivateKey.generate()
    name = _name("Authority")
    builder = _builder((name, name), key, (-1000, 1000))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return builder.add_extension(usage, critical=True).sign(key, None), key


@cache
def _key(kind: str, owner: str) -> CertificateIssuerPrivateKeyTypes:
    return KEYS[kind]()


@cache
def credential(
    purpose: str = "emailProtection",
    *,
    kind: str = "P-256",
    owner: str = "Jane Doe",
    first: int = -1,
    last: int = 30,
    ocsp: str = "",
) -> Issued:
    """A leaf for ``purpose``, valid from ``first`` to ``last`` days from today, with its key and chain."""
    root, root_key = authority()
    key = _key(kind, owner)
    builder = _builder((root.subject, _name(owner)), key, (first, last))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([PURPOSES[purpose]]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    if ocsp:
        place = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
    leaf = builder.add_extension(identifier, critical=False).sign(root_key, None)
    return Issued(pem(leaf) + pem(root), pem_key(key), pem(root), leaf.public_bytes(Encoding.DER))


def _builder(
    names: tuple[x509.Name, x509.Name], key: CertificateIssuerPrivateKeyTypes, days: tuple[int, int]
) -> x509.CertificateBuilder:
    issuer, subject = names
    public, now = key.public_key(), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(public)
    builder = builder.serial_number(_FIRST_SERIAL + next(_SERIALS))
    builder = builder.not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(**wanted: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in _USAGES})


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Caveat tests")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def pem_key(key: CertificateIssuerPrivateKeyTypes, password: bytes = b"") -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
