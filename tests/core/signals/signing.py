"""Files signed as other programs sign them, with c2pa-python itself, and what a reading of them comes to."""

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import c2pa as library
import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from PIL import Image

from registry.preference import Preference, Use
from registry.signals import c2pa
from registry.signals.observation import Reading
from registry.statement import Quality, Speaker
from tests.core.signals.certificates import Issued, credential

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
LABEL = "cawg.training-mining"
RESERVES = {"cawg.ai_training": {"use": "notAllowed"}}
PERMITS = {"cawg.ai_training": {"use": "allowed"}}
VALID = Speaker.SIGNED, Quality.EXACT
INVALID = Speaker.EMBEDDED, Quality.MALFORMED


def picture(kind: str = "JPEG", **options: Any) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def assertion(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": LABEL, "data": {"entries": entries}}


def signed(
    data: bytes,
    *assertions: Mapping[str, Any],
    by: Issued | None = None,
    settings: Mapping[str, Any] | None = None,
) -> bytes:
    """Sign with the library itself, as any other program would."""
    by = by or credential()
    info = library.C2paSignerInfo("es256", by.chain, by.key, None)
    with library.Signer.from_info(info) as signer:
        return built(data, assertions, signer, settings or c2pa.library_settings())


def built(
    data: bytes,
    assertions: Iterable[Mapping[str, Any]],
    signer: library.Signer,
    settings: Mapping[str, Any],
    prepare: Callable[[library.Builder], None] = lambda builder: None,
) -> bytes:
    manifest = {"claim_generator_info": [{"name": "another"}], "assertions": list(assertions)}
    out = io.BytesIO()
    mime = Image.MIME[Image.open(io.BytesIO(data)).format]
    with library.Context.from_dict(dict(settings)) as context, library.Builder(manifest, context) as builder:
        builder.set_intent(library.C2paBuilderIntent.EDIT)
        prepare(builder)
        builder.sign(signer, mime, io.BytesIO(data), out)
    return out.getvalue()


def shown(data: bytes, entries: Mapping[str, Any], leaf: Issued) -> bytes:
    """Sign under a certificate for which the library would not sign: as somebody's clock or program might.

    The library sees another certificate of the same key; what is signed, and what stands in the file, is
    ``leaf``. Their encodings are of one length, so nothing moves.
    """
    seen = credential()
    assert len(seen.der) == len(leaf.der)
    key = load_pem_private_key(leaf.key, None)

    def sign(claim: bytes) -> bytes:
        assert seen.der in claim
        signature = key.sign(claim.replace(seen.der, leaf.der), ec.ECDSA(hashes.SHA256()))
        return b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(signature))

    settings = dict(c2pa.library_settings()) | {"verify": {"verify_after_sign": False, "ocsp_fetch": False}}
    signing = library.C2paSigningAlg.ES256
    with library.Signer.from_callback(sign, signing, seen.chain.decode()) as signer:
        return built(data, [assertion(entries)], signer, settings).replace(seen.der, leaf.der)


def only(reading: Reading, carrier: str = "manifest") -> tuple[Preference, tuple[Speaker, Quality]]:
    """What a reading without faults says of training, through its one statement there."""
    assert reading.faults == ()
    [one] = [one for one in reading.statements if one.signal.carrier == carrier]
    return one.preferences[Use.TRAIN], (one.signal.speaker, one.signal.quality)


def permits(reading: Reading) -> bool:
    return any(Preference.ALLOWED in one.preferences.values() for one in reading.statements)


def restricts(reading: Reading) -> bool:
    return any(Preference.RESERVED in one.preferences.values() for one in reading.statements)
