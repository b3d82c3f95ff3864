"""Works of imports in snapshots: all of them once they are visible, and none that was taken back."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from registry.client.http import Asked
from registry.client.snapshot import Snapshot
from registry.decision import decide
from registry.fingerprint import Fingerprint
from registry.import_claim import Claim, digest_of, statement_of
from registry.imports import Importer, PartBody
from registry.listing import NDJSON
from registry.log_folder import LogFolder
from registry.lookup import Lookup, Question
from registry.note import Signer, sign_note
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store, principals
from registry.urls import canonicalize_url

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
NOW = 1_795_000_000


@pytest.fixture
def snapshot(store: Store, tmp_path: Path) -> Callable[[], Snapshot]:
    """Publish, build, and open what was built."""
    log, folder = LogFolder(tmp_path / "log"), SnapshotFolder(tmp_path / "snapshots")
    signer = Signer.new("log.example")
    log.write_signer(signer)

    def build() -> Snapshot:
        Publisher(store, log, signer).publish()
        seq = SnapshotBuilder(store, log, folder).build(NOW, 9).manifest.seq
        return Snapshot.open(folder.path / str(seq), log_key=signer.verifier.text, now=lambda: NOW)

    return build


class Partner:
    """An import of twenty works in two parts, by URL, SHA-256 and picture."""

    def __init__(self, store: Store, key: Any, picture_hash: Callable[..., bytes]) -> None:
        self.caller, self.signer, self.hash = key.caller, Signer.new("acme.example"), picture_hash
        with store.administer() as connection:
            principals.set_import_key(connection, self.caller.principal_id, self.signer.verifier.text)
        self.importer = Importer(store, lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))
        self.id, _ = self.importer.open(self.caller, "acme", Draft(RESERVED, label="Acme"))
        self.parts = [self.put(1, range(10)), self.put(2, range(10, 20))]

    def put(self, part: int, numbers: Sequence[int]) -> Any:
        lines = [json.dumps(self.work(number)) + "\n" for number in numbers]
        return self.importer.put(self.caller, self.id, part, PartBody("".join(lines).encode(), NDJSON))

    def work(self, number: int) -> dict[str, Any]:
        """Every third without a picture, every fourth without an address, every fifth without a file."""
        fingerprint = {"v": 1, "quality": 100, "pdq": {"full": self.hash(number).hex()}}
        return (
            {"title": f"No. {number}"}
            | ({} if number % 4 == 0 else {"url": f"https://works.example.org/{number}.jpg"})
            | ({} if number % 5 == 1 else {"sha256": self.hash(number, 9).hex()})
            | ({} if number % 3 == 0 else {"fingerprint": fingerprint})
        )

    def complete(self) -> None:
        claim = Claim(2, 20, digest_of([part.sha256 for part in self.parts]))
        note = sign_note(statement_of("acme", self.id, claim), [self.signer])
        assert self.importer.complete(self.caller, self.id, replace(claim, note=note)) is not None

    def asked(self, number: int) -> list[Asked]:
        """By each of the keys alone: address, file, picture."""
        return [
            Asked(f"https://works.example.org/{number}.jpg"),
            Asked(None, Fingerprint(1, 0, None, {}, self.hash(number, 9))),
            Asked(None, Fingerprint(1, 100, None, {"full": self.hash(number, 3)})),
        ]


@pytest.fixture
def partner(store: Store, make_key: Callable[..., Any], picture_hash: Callable[..., bytes]) -> Partner:
    return Partner(store, make_key(("import:acme",)), picture_hash)


def found(snapshot: Snapshot, store: Store, partner: Partner) -> list[int]:
    """How many of the three keys of each work are known, once the service has said the same."""
    asked = [one for number in range(20) for one in partner.asked(number)]
    known = snapshot.lookup(asked, Use.GENAI_TRAIN)
    questions = [
        Question(a.url and canonicalize_url(a.url), a.fingerprint and a.fingerprint.sha256, a.fingerprint)
        for a in asked
    ]
    said = Lookup(store).ask(questions, snapshot.as_of_seq).statements
    for ours, theirs in zip(known, said, strict=True):
        assert [(s.record, s.match, s.label) for s in ours.statements] == [
            (s.record, s.match, s.label) for s in theirs
        ]
        assert decide(ours.statements, Use.GENAI_TRAIN) == decide(
            [replace(s, principal="", title="") for s in theirs], Use.GENAI_TRAIN
        )
    hits = [bool(one.statements) for one in known]
    return [sum(hits[at : at + 3]) for at in range(0, 60, 3)]


def test_an_import_is_in_a_snapshot_from_its_completion_on(
    store: Store, partner: Partner, snapshot: Callable[[], Snapshot], tmp_path: Path
) -> None:
    keys = [len(set(partner.work(number)) - {"title"}) for number in range(20)]
    assert found(snapshot(), store, partner) == [0] * 20
    partner.complete()
    whole = snapshot()
    assert found(whole, store, partner) == keys
    tables = (tmp_path / "snapshots" / "3" / "parquet").glob("works-*")
    table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in tables])
    assert table.num_rows == 20
    assert set(table["genai_train"].to_pylist()) == {"reserved"}
    assert sum(bool(row) for row in table["pdq"].to_pylist()) == sum(n % 3 != 0 for n in range(20))
    assert sum(row is not None for row in table["sha256"].to_pylist()) == sum(n % 5 != 1 for n in range(20))
    partner.importer.withdraw_works(partner.caller, partner.id, [(1, 2), (2, 5)])
    gone = {2, 15}
    assert found(snapshot(), store, partner) == [0 if n in gone else keys[n] for n in range(20)]
    assert found(whole, store, partner) == keys, "as of its event it stays"
    partner.importer.roll_back(partner.caller, partner.id)
    assert found(snapshot(), store, partner) == [0] * 20


def test_an_import_that_was_destroyed_is_in_none(
    store: Store, partner: Partner, snapshot: Callable[[], Snapshot]
) -> None:
    partner.importer.roll_back(partner.caller, partner.id)
    assert found(snapshot(), store, partner) == [0] * 20
