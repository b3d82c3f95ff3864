"""C2PA manifests in a file, and what their assertions about training and data mining say.

Two labels are read: ``cawg.training-mining`` (CAWG Training and Data Mining Assertion 1.1) and its forerunner
``c2pa.training-mining`` (C2PA 1.0 to 1.4), with their entries in a map ``entries`` or, as before 1.1, flat.

1. A file without a manifest says nothing here, and the native library is never asked about it.
2. A manifest that cannot be read is a fault: it may reserve. So is one that is only referred to by address,
   since nothing is fetched, and so is an assertion that is altered, missing or outside its vocabulary.
3. Only the active manifest permits, and only if its state is Valid or Trusted.
4. Every manifest of the store restricts, whatever its state: those of the ingredients too.
5. ``constrained`` is conditional. An entry that is absent says nothing; custom keys are passed over.

A signature without a trusted time stamp is Invalid once its certificate has expired: what it permitted is
then unknown, what it reserved stays reserved.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from cryptography import x509

from registry.errors import InputError, SettingsError
from registry.jsontext import strict_json
from registry.preference import Preference, Status, Use
from registry.signals.jumbf import check_store
from registry.signals.manifests import pieces, remote_address
from registry.signals.observation import Fault, Origin, Reading, joined, statement
from registry.signals.parts import UnreadableError
from registry.statement import Quality, Speaker

__all__ = [
    "KEYS",
    "MAX_FILE",
    "MAX_MANIFEST",
    "PURPOSES",
    "VALUES",
    "c2pa_module",
    "has_manifest",
    "library_settings",
    "read",
]

MAX_FILE = 100_000_000
"""Bytes of a file with a manifest that are read."""

MAX_MANIFEST = 32 << 20
"""Bytes of a manifest store, packed or unpacked, that are read."""

KEYS = {
    "data_mining": Use.TDM,
    "ai_training": Use.TRAIN,
    "ai_generative_training": Use.GENAI_TRAIN,
    "ai_inference": Use.AI_INPUT,
}
"""Key without its prefix → use; ``ai_training`` is that of models that are not generative."""

VALUES = {
    "notAllowed": Preference.RESERVED,
    "constrained": Preference.CONDITIONAL,
    "allowed": Preference.ALLOWED,
}

PURPOSES = {
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.36": "documentSigning",
    "1.3.6.1.4.1.62558.2.1": "C2PA claim signing",
    "1.3.6.1.4.1.311.76.59.1.9": "C2PA signing (Microsoft)",
}
"""Extended key usages of certificates that may sign a claim (C2PA 2.4, section 14.5.1)."""

_VERSIONS = {"cawg": "CAWG 1.1", "c2pa": "C2PA 1.4"}
_LABEL = re.compile(r"(cawg|c2pa)\.training-mining(?:__[0-9]+)?")
_GONE = frozenset({"ingredient.manifest.missing", "claim.missing"})
"""Failures after which nobody knows whether training was spoken of (C2PA 2.4, section 15.2.2)."""

_CONDITIONS = ("constraint_info", "constraints_info")
_TERMS = 2_000
"""Characters of constraints that are kept."""


def c2pa_module() -> ModuleType:
    """Return the module ``c2pa``; raises :class:`SettingsError` when it is missing or cannot be loaded."""
    try:
        import c2pa
    except ImportError as error:
        raise SettingsError(
            "C2PA needs c2pa-python, which is not installed", hint="pip install 'caveat-registry[c2pa]'"
        ) from error
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"c2pa-python cannot be loaded on this machine: {error}") from error
    module: ModuleType = c2pa
    return module


def has_manifest(data: bytes) -> bool:
    """Say whether a file carries a C2PA manifest, from its structure alone and without the extra.

    True where it cannot be told: then the file is read. A JPEG with JUMBF of another kind is such a one.
    """
    return next(pieces(data), None) is not None


def read(data: bytes, *, trust_anchors: bytes = b"") -> Reading:
    """Return what the manifests of a file say.

    ``trust_anchors`` are PEM certificates: who is signed by one of them is Trusted instead of Valid. Needs
    the extra ``[c2pa]`` for a file with a manifest. Raises :class:`SettingsError` for trust anchors that are
    not PEM certificates.
    """
    settings = library_settings(trust_anchors)
    found = list(pieces(data))
    if not found:
        return _elsewhere(data)
    store = b"".join(found)
    try:
        _check_sizes(data, store)
        check_store(store)
        report = _report(data, settings)
    except UnreadableError as error:
        return _fault(error.message, error.status)
    except SettingsError as error:
        return _fault(f"a manifest that is not read: {error.message} ({error.hint})", Status.ERROR)
    except InputError as error:
        return _fault(error.message)
    if report is None:
        return _fault("a manifest in which the library finds nothing") if b"c2pa" in store else Reading()
    return _reading(report, store)


def _elsewhere(data: bytes) -> Reading:
    address = remote_address(data)
    told = f"the manifest is kept at {address}, and is not fetched"
    return _fault(told, Status.ERROR) if address else Reading()


def _check_sizes(data: bytes, store: bytes) -> None:
    for what, size, most in (("file", len(data), MAX_FILE), ("manifest", len(store), MAX_MANIFEST)):
        if size > most:
            raise UnreadableError(f"a {what} of {size} bytes; with a manifest {most} are read", Status.ERROR)


def _fault(message: str, status: Status = Status.MALFORMED) -> Reading:
    return Reading(faults=(Fault("c2pa", "manifest", status, message),))


# -- what the library makes of it ------------------------------------------------------------------


@lru_cache(maxsize=8)
def library_settings(trust_anchors: bytes = b"") -> Mapping[str, Any]:
    """Return the settings of c2pa-python: no network, bounded memory, and who is trusted.

    ``trust_anchors`` are PEM certificates; raises :class:`SettingsError` for anything else.
    """
    trust = {"trust_config": "\n".join(PURPOSES)}
    if trust_anchors:
        try:
            x509.load_pem_x509_certificates(trust_anchors)
            trust["trust_anchors"] = trust_anchors.decode("ascii")
        except ValueError as error:
            raise SettingsError(f"trust anchors that are not PEM certificates: {error}") from error
    return {
        "version": 1,
        "core": {
            "allowed_network_hosts": [],
            "allow_redirects": False,
            "decode_identity_assertions": False,
            "max_decompressed_manifest_size_in_mb": MAX_MANIFEST >> 20,
        },
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
        "trust": trust,
    }


def _report(data: bytes, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the library's report, or None where it finds no manifest of C2PA.

    The context is made anew for each file: it cannot be handed to a forked process.
    """
    c2pa = c2pa_module()
    try:
        with (
            c2pa.Context.from_dict(dict(settings)) as context,
            c2pa.Reader(io.BytesIO(data), context=context) as reader,
        ):
            report = strict_json(reader.json().encode())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, ValueError) as error:
        raise InputError(f"a manifest that cannot be read: {str(error)[:300]}") from error
    if not isinstance(report, dict):
        raise InputError("a manifest whose report is not an object")
    return report


# -- what is said in it ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Speech:
    """One manifest as it speaks: its place, the store's bytes, and how the store stands, in words."""

    carrier: str
    store: bytes
    signed: bool
    valid: bool
    standing: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of an assertion: its key, what it says in its own word and in ours, its condition."""

    key: str
    word: str
    value: Preference
    terms: str

    @property
    def use(self) -> Use:
        return KEYS[self.key[5:]]


def _reading(report: Mapping[str, Any], store: bytes) -> Reading:
    active = report.get("active_manifest")
    manifests = report.get("manifests")
    readings = [
        _assertion(assertion, _speech(report, manifest, store, active=name == active))
        for name, manifest in (manifests.items() if isinstance(manifests, dict) else ())
        for assertion in manifest.get("assertions", ())
        if _LABEL.fullmatch(str(assertion.get("label")))
    ]
    return joined([*readings, *_altered(report), *([] if readings else _lost(report, store))])


def _speech(report: Mapping[str, Any], manifest: Mapping[str, Any], store: bytes, *, active: bool) -> _Speech:
    state = str(report.get("validation_state"))
    valid = state in ("Valid", "Trusted")
    signer = manifest.get("signature_info") or {}
    name = str(signer.get("common_name") or signer.get("issuer") or "nobody named")[:60]
    standing = f"{state}, {_why(report, state)}signed by {name}"
    return _Speech("manifest" if active else "ingredient", store, active and valid, valid, standing)


def _why(report: Mapping[str, Any], state: str) -> str:
    codes = [code for code, _ in _failures(report)]
    if state == "Valid" and "signingCredential.untrusted" in codes:
        return "credential untrusted, "
    told = [code for code in codes if code != "signingCredential.untrusted"]
    return f"{told[0][:60]}, " if told else ""


def _failures(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in report.get("validation_status") or ():
        yield str(one.get("code")), str(one.get("url"))


def _altered(report: Mapping[str, Any]) -> Iterator[Reading]:
    """Yield a fault for what is missing or not as it was signed: what it said of training is not known."""
    for code, url in _failures(report):
        if code in _GONE or _LABEL.fullmatch(url.rpartition("/")[2]):
            yield _fault(f"missing, or not as it was signed: {url[-160:]} ({code[:60]})")


def _lost(report: Mapping[str, Any], store: bytes) -> Iterator[Reading]:
    if b"training-mining" in store or "training-mining" in str(report):
        yield _fault("an assertion about training is named, and cannot be read")


def _assertion(assertion: Mapping[str, Any], speech: _Speech) -> Reading:
    label = str(assertion.get("label"))
    entries, complaints = _heard(assertion.get("data"))
    said = _statement(label, entries, speech) if entries else Reading()
    return joined([said, *(_fault(f"{label}: {complaint}") for complaint in complaints)])


def _heard(data: object) -> tuple[list[_Entry], list[str]]:
    """Return the entries of an assertion, and what is wrong with those that cannot be read."""
    entries, complaints = [], []
    try:
        for key, value in _known(data):
            try:
                entries.append(_entry(key, value))
            except InputError as error:
                complaints.append(error.message)
    except InputError as error:
        complaints.append(error.message)
    return entries, complaints


def _known(data: object) -> Iterator[tuple[str, object]]:
    """Yield the entries under known keys, those of the map ``entries`` and those beside it."""
    if not isinstance(data, dict):
        raise InputError(f"expected a map, got {str(data)[:40]!r}")
    within = data.get("entries", {})
    yield from ((key, value) for key, value in data.items() if _is_known(key))
    if not isinstance(within, dict):
        raise InputError(f"expected a map of entries, got {str(within)[:40]!r}")
    yield from ((key, value) for key, value in within.items() if _is_known(key))


def _is_known(key: str) -> bool:
    return key[:5] in ("cawg.", "c2pa.") and key[5:] in KEYS


def _entry(key: str, value: object) -> _Entry:
    word = value.get("use") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(word, str) or word not in VALUES:
        raise InputError(f"{key} is {str(value)[:60]!r}, expected a use out of {', '.join(VALUES)}")
    # The prose of CAWG 1.1 has one name for the condition, its schema the other.
    terms = next((value[name] for name in _CONDITIONS if isinstance(value.get(name), str)), "")
    return _Entry(key, word, VALUES[word], terms.strip())


def _statement(label: str, entries: list[_Entry], speech: _Speech) -> Reading:
    counted = _counted(_strictest(entries), speech)
    if not counted:
        return Reading()
    speaker = Speaker.SIGNED if speech.signed else Speaker.EMBEDDED
    origin = Origin("c2pa", _VERSIONS[label[:4]], speech.carrier, speech.store, speaker)
    said = f"{speech.standing}: {', '.join(f'{entry.key} {entry.word}' for entry in entries)}"
    quality = Quality.EXACT if speech.valid else Quality.MALFORMED
    terms = "; ".join(dict.fromkeys(entry.terms for entry in entries if entry.terms))[:_TERMS]
    return Reading((statement(origin, counted, said, quality=quality, terms=terms),))


def _strictest(entries: Iterable[_Entry]) -> dict[Use, Preference]:
    found: dict[Use, Preference] = {}
    for entry in entries:
        before = found.get(entry.use, Preference.UNKNOWN)
        found[entry.use] = max(before, entry.value, key=lambda value: value.restriction)
    return found


def _counted(preferences: Mapping[Use, Preference], speech: _Speech) -> dict[Use, Preference]:
    """Return what counts: who may not permit has said nothing, an ingredient nothing about this work."""
    if speech.signed:
        return dict(preferences)
    restricting: dict[Use, Preference] = {
        use: value for use, value in preferences.items() if value is not Preference.ALLOWED
    }
    if speech.carrier == "ingredient":
        return restricting
    return {use: restricting.get(use, Preference.UNKNOWN) for use in preferences}
