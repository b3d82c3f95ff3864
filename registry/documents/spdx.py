"""A filtered set as an SPDX document with the dataset profile: JSON-LD, one graph of elements.

SPDX knows no word for who vouches for what, so every line stands in an annotation of the package as well,
with its label. The profile wants to know where and when the set was released; unless the maker states both,
the document does not claim to conform to it, and has the same members but for these two.

Source: SPDX 3.0.1, Dataset profile. Identifiers are made from the digest of the receipt, so that the same
receipt and declaration give the same document.
"""

import json
from collections.abc import Iterator
from typing import Any

from registry.documents.facts import (
    NOT_STATED,
    Told,
    are_pictures,
    digest_text,
    name_of,
    sections_of,
)
from registry.dsse import keyid_of
from registry.oneline import one_line

__all__ = ["spdx"]

_CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_NO_LICENCE = "expandedlicensing_NoAssertionLicense"
_MADE = "_:creation"
_PROFILES = ("core", "software", "simpleLicensing")
_LISTED = frozenset({
    *("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-ND-4.0", "CC-BY-3.0", "CC-BY-SA-3.0", "Apache-2.0", "MIT", "ODbL-1.0", "ODC-By-1.0"),
    *("PDDL-1.0", "CDLA-Permissive-2.0", "CDLA-Permissive-1.0", "CDLA-Sharing-1.0"),
})  # fmt: skip
"""Licences of data whose identifiers SPDX has; any other text is kept as text."""


def spdx(told: Told, at: str) -> str:
    """Return the document as of ``at``, RFC 3339 in UTC to the second, when it is made."""
    document = {"@context": _CONTEXT, "@graph": _Graph(told).all(at)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Graph:
    def __init__(self, told: Told) -> None:
        self._told = told
        self._elements: list[dict[str, Any]] = []
        self._base = f"urn:caveat:receipt:sha256:{told.signed.sha256}"

    def all(self, at: str) -> list[dict[str, Any]]:
        """Return the elements, those of the document itself first."""
        told = self._told
        agent = self._agent()
        dataset = self._dataset(agent)
        self._licence(dataset, told.declared.licence)
        self._relate(dataset, "hasConcludedLicense", _NO_LICENCE)
        for one in told.declared.upstream:
            self._upstream(dataset, one.name, one.url, one.licence)
        for part in sections_of(told):
            for fact in part.facts:
                self._annotate(dataset, fact.labelled)
        self._annotate(dataset, told.receipt.about)
        return [*self._document(at, agent, dataset), *self._elements]

    def _document(self, at: str, agent: str, dataset: str) -> Iterator[dict[str, Any]]:
        tool = self._add("Tool", "tool", name=f"{one_line(self._told.receipt.tool.name)}")
        yield {
            "type": "CreationInfo",
            "@id": _MADE,
            "specVersion": "3.0.1",
            "created": at,
            "createdBy": [agent],
            "createdUsing": [tool],
        }
        yield {
            "type": "SpdxDocument",
            "spdxId": f"{self._base}#document",
            "creationInfo": _MADE,
            "name": name_of(self._told),
            "profileConformance": [*_PROFILES, *(["dataset"] if len(self._release()) == 2 else [])],
            "rootElement": [dataset],
            "element": [one["spdxId"] for one in self._elements],
        }

    def _add(self, kind: str, fragment: str, **members: Any) -> str:
        made = f"{self._base}#{fragment}"
        self._elements.append({"type": kind, "spdxId": made, "creationInfo": _MADE, **members})
        return made

    def _agent(self) -> str:
        author = self._told.declared.author or f"holder of the key {keyid_of(self._told.signed.signer)}"
        return self._add("Agent", "maker", name=author)

    def _dataset(self, agent: str) -> str:
        told, receipt, declared = self._told, self._told.receipt, self._told.declared
        consents, run, origins, _ = ([one.labelled for one in part.facts] for part in sections_of(told))
        return self._add(
            "dataset_DatasetPackage",
            "output",
            name=name_of(told),
            description=receipt.about,
            originatedBy=[agent],
            builtTime=receipt.finished,
            verifiedUsing=[self._hash()],
            software_primaryPurpose="data",
            **self._release(),
            dataset_datasetType=["image" if are_pictures(receipt) else "noAssertion"],
            dataset_datasetSize=receipt.output.bytes,
            dataset_dataCollectionProcess="\n".join(origins),
            dataset_dataPreprocessing=[*consents, *run],
            dataset_intendedUse="\n".join(f"declared: {one}" for one in declared.purposes or (NOT_STATED,)),
            dataset_hasSensitivePersonalInformation="noAssertion",
        )

    def _release(self) -> dict[str, str]:
        declared = self._told.declared
        said = {
            "software_downloadLocation": declared.url,
            "releaseTime": declared.published and f"{declared.published}T00:00:00Z",
        }
        return {name: one for name, one in said.items() if one}

    def _hash(self) -> dict[str, str]:
        [(name, digest)] = self._told.receipt.output.digest.items()
        if name == "sha256":
            return {"type": "Hash", "algorithm": "sha256", "hashValue": digest}
        return {"type": "Hash", "algorithm": "other", "hashValue": digest, "comment": _of_folder(self._told)}

    def _upstream(self, dataset: str, name: str, url: str, licence: str) -> None:
        place = {"software_downloadLocation": url} if url else {}
        number = f"upstream-{len(self._elements)}"
        made = self._add("software_Package", number, name=name, software_primaryPurpose="data", **place)
        self._licence(made, licence)
        self._relate(dataset, "descendantOf", made)

    def _licence(self, package: str, licence: str) -> None:
        self._relate(package, "hasDeclaredLicense", self._expression(licence) if licence else _NO_LICENCE)

    def _expression(self, licence: str) -> str:
        number = len(self._elements)
        if licence in _LISTED:
            members: dict[str, Any] = {"simplelicensing_licenseExpression": licence}
        else:
            text = self._add(
                "simplelicensing_SimpleLicensingText",
                f"licence-text-{number}",
                simplelicensing_licenseText=licence,
            )
            entry = {"type": "DictionaryEntry", "key": "LicenseRef-declared", "value": text}
            members = {
                "simplelicensing_licenseExpression": "LicenseRef-declared",
                "simplelicensing_customIdToUri": [entry],
            }
        return self._add("simplelicensing_LicenseExpression", f"licence-{number}", **members)

    def _relate(self, one: str, kind: str, other: str) -> None:
        name = f"relationship-{len(self._elements)}"
        self._add("Relationship", name, **{"from": one, "relationshipType": kind, "to": [other]})

    def _annotate(self, package: str, statement: str) -> None:
        name = f"line-{len(self._elements)}"
        self._add("Annotation", name, annotationType="other", subject=package, statement=statement)


def _of_folder(told: Told) -> str:
    return (
        f"{digest_text(told.receipt.output)}: SHA-256 of the sorted lines that sha256sum prints of the files"
    )
