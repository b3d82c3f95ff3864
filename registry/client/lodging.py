"""Lodging works: pictures hashed here, sent in parts, never the pictures themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.client.http import RegistryClient
from registry.client.pictures import Hashed

__all__ = ["PART", "Lodged", "lodge", "work_of"]

PART = 2000
"""Works in one request."""


@dataclass(slots=True)
class Lodged:
    """What stands at one registry; ``exact_only`` lists the places of works too plain for likeness.

    ``works`` counts what was acknowledged so far: an interrupted run can say how far it came.
    """

    registry: str
    id: str = ""
    seq: int = 0
    works: int = 0
    rules: int = 0
    exact_only: list[int] = field(default_factory=list)


def work_of(hashed: Hashed) -> dict[str, Any]:
    """Return the JSON of one work. Requires ``hashed.fingerprint``, with its SHA-256."""
    fingerprint = hashed.fingerprint
    if fingerprint is None or fingerprint.sha256 is None:
        raise ValueError(f"{hashed.path} was not hashed")
    return {
        "title": hashed.path.name[:200],
        "sha256": fingerprint.sha256.hex(),
        "fingerprint": fingerprint.to_wire(),
    }


def lodge(
    client: RegistryClient, reservation: Mapping[str, Any], works: Sequence[Mapping[str, Any]], done: Lodged
) -> Lodged:
    """Lodge ``works`` under ``reservation`` in parts, filling ``done`` as parts are acknowledged."""
    client.check_parameters()
    size = min(PART, client.max_items)
    for start in range(0, max(len(works), 1), size):
        part = list(works[start : start + size])
        if start == 0:
            answer = client.register({**reservation, "works": part})
            done.id, done.rules = answer["id"], answer["rules"]
        else:
            answer = client.add_works(done.id, part)
        done.seq = answer["seq"]
        done.works += answer["works"]
        done.exact_only += [start + place for place in answer["exact_only"]]
    return done
