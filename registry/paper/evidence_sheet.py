"""Evidence on paper: what the log proves about a record, for those who read no JSON.

What was lodged when, as versions; for which uses; by which keys; how it stands; the proof of each event; how
to check all of it oneself, and what it does not show. The JSON that it tells of goes along as a file: where a
list is long, the paper has its beginning and says so, and the file has all of it.

The evidence is told as it is given, unchecked: see :func:`registry.evidence.check_evidence`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from registry.leaf import parse_leaf
from registry.merkle import leaf_hash
from registry.note import Checkpoint, parse_checkpoint
from registry.paper.sheet import Facts, Lines, Part, Points, Section, Sheet, Text, time_of
from registry.paper.standing import Standing, rule_text, said_rows, standing_of, work_rows

__all__ = ["JSON_NAME", "PRINTED", "TOKEN_NAME", "Account", "evidence_sheet", "json_of"]

JSON_NAME = "evidence.json"
"""The file that goes along: the evidence as ``GET …/evidence`` gives it."""
TOKEN_NAME = "evidence.json.tsr"  # noqa: S105 - a file's name
"""The file with the answer of a timestamp authority, where there is one (RFC 3161)."""
PRINTED = 100
"""Works, rules and proofs that are printed; the file has all of them."""

_DID = {
    "register": "lodged",
    "works": "works added",
    "change": "changed",
    "withdraw": "withdrawn",
    "erase": "erased; works and addresses lodged anew without names",
    "part": "a part of an import stored",
    "import": "the import made visible",
    "rollback": "the import taken back before it was visible",
    "withdraw-works": "single works withdrawn",
    "grant": "permission given to one licensee",
    "revoke-grant": "that permission taken back",
}
_CODES = frozenset(
    {"permanent address", "address", "SHA-256", "fingerprint", "leaf hash", "root", "key", "record", "work"}
)


@dataclass(frozen=True, slots=True)
class Account:
    """What the paper tells beside the evidence.

    ``registry`` and ``permalink`` are addresses, ``made`` seconds since 1970, ``keys`` the public keys of the
    log, ``digest`` the SHA-256 of the file that goes along. ``stamped`` tells of a timestamp by another
    authority, or why there is none.
    """

    registry: str
    permalink: str
    made: int
    digest: str
    keys: tuple[str, ...] = ()
    stamped: tuple[Part, ...] = ()
    has_token: bool = False


def json_of(evidence: Mapping[str, Any]) -> bytes:
    """Return the file that goes along: written one way, so that the same evidence has the same digest."""
    return json.dumps(evidence, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def evidence_sheet(evidence: Mapping[str, Any], account: Account) -> Sheet:
    """Return the paper.

    Raises :class:`registry.errors.ProofError` for a leaf or a checkpoint of another form.
    """
    standing = standing_of(evidence)
    note = evidence["checkpoint"]
    checkpoint = None if note is None else parse_checkpoint(note.partition("\n\n")[0] + "\n")
    return Sheet(
        title="Evidence of a reservation of rights",
        subtitle=f"Record {evidence['record']} at {account.registry}",
        made=account.made,
        foot=account.permalink,
        sections=(
            _about(account),
            _record(evidence, standing),
            *_history(evidence, standing),
            *_content(standing),
            *_single(evidence.get("works", ())),
            *_proof(evidence, checkpoint, account),
            Section("Time, by another authority", account.stamped),
            _checking(account),
            _limits(standing),
        ),
    )


def _about(account: Account) -> Section:
    told = (
        "This document tells what a public registry of opt-outs from the training of AI models has "
        "on record, "
        "since when, and how anybody can check it without trusting the registry or this paper."
    )
    rows = (
        ("registry", account.registry),
        ("permanent address", account.permalink),
        ("attached file", f"{JSON_NAME}, the same for machines"),
        ("SHA-256", account.digest),
    )
    return Section("What this is", (Text(told), Facts(rows, _CODES)))


def _record(evidence: Mapping[str, Any], standing: Standing) -> Section:
    events = evidence["events"]
    rows = [("record", evidence["record"]), ("state", standing.state)]
    if events:
        rows.append(("first lodged", f"{time_of(events[0]['at'])}, event {events[0]['seq']:,}"))
    if standing.withdrawn_at is not None:
        rows.append(("withdrawn", f"{time_of(standing.withdrawn_at)}; it says nothing from then on"))
    rows += said_rows(standing.version)
    if standing.is_told:
        rows.append(("works", f"{len(standing.works) + standing.imported:,}"))
        rows.append(("rules of addresses", f"{len(standing.rules):,}"))
        return Section("The record", (Facts(tuple(rows), _CODES),))
    hidden = (
        "What was said is shown to whoever lodged the record. The key that asked for this document sees that "
        "each event happened, and when; or the record was erased since."
    )
    return Section("The record", (Facts(tuple(rows), _CODES), Text(hidden)))


def _history(evidence: Mapping[str, Any], standing: Standing) -> Iterator[Section]:
    events = evidence["events"]
    yield Section("What was said, in order", (Text(_order(len(events))),))
    before: Mapping[str, Any] = {}
    for event in islice(events, PRINTED):
        said = event["payload"] or {}
        version = said.get("version") or {}
        rows = [("time", f"{time_of(event['at'])}, by the registry's clock")]
        rows += _changes(before, version)
        rows += [(name, f"{len(said[name]):,}") for name in ("works", "rules") if said.get(name)]
        rows += _others(said)
        before = version or before
        yield Section(f"Event {event['seq']:,}: {_did(event)}", (Facts(tuple(rows), _CODES),), level=2)


def _order(count: int) -> str:
    told = (
        f"{count:,} event{'' if count == 1 else 's'}. An event is never changed; what is said anew "
        f"is a new one."
    )
    return told if count <= PRINTED else f"{told} The first {PRINTED:,} are printed; {JSON_NAME} has all."


def _did(event: Mapping[str, Any]) -> str:
    if event["op"] == "erase" and not (event["payload"] or {}).get("version"):
        return "erased"
    did = _DID.get(event["op"], event["op"])
    return (
        did if event["payload"] is not None or event["op"] == "part" else f"{did} (what it said is not shown)"
    )


def _changes(before: Mapping[str, Any], version: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a version says, and what of it is new where one came before."""
    if not version:
        return []
    old = dict(said_rows(before))
    now = dict(said_rows(version))
    told = [(name, value) for name, value in now.items() if old.get(name) != value]
    told += [(name, "no longer given") for name in old if name not in now]
    return [("state", version["state"]), *told]


def _others(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "import" in said:
        yield "works", f"{said['import']['works']:,}, in {said['import']['parts']:,} parts"
    if "withdrawn" in said:
        yield "works withdrawn", ", ".join(f"{seq}.{at}" for seq, at in said["withdrawn"][:PRINTED])
    grant = said.get("grant")
    if grant:
        yield "licensee", f"{grant['licensee']} {grant['licensee_url']}".strip()
        yield "valid", f"{time_of(grant['valid_from'])} to {time_of(grant['valid_until'])}"


def _content(standing: Standing) -> Iterator[Section]:
    if not standing.is_told:
        return
    if not standing.works and not standing.imported:
        yield Section("The works", (Text("No single work was lodged; the record is about addresses."),))
    if standing.imported:
        yield Section("The works", (Text(_imported(standing.imported)),))
    if standing.works:
        rows = tuple(_work_rows(standing.works[:PRINTED]))
        yield Section("The works", (Text(_counted(len(standing.works), "work")), *rows))
    if standing.rules:
        told = tuple((rule["kind"], rule_text(rule)) for rule in standing.rules[:PRINTED])
        kinds = frozenset(name for name, _ in told)
        yield Section("The addresses", (Text(_counted(len(standing.rules), "rule")), Facts(told, kinds)))


def _imported(count: int) -> str:
    return (
        f"{count:,} works were lodged in one import, in parts of some thousand. Each has a proof of its own "
        "within its part: ask for this document with ?work= and the name of the work."
    )


def _counted(count: int, noun: str) -> str:
    if count <= PRINTED:
        return f"{count:,} {noun}{'' if count == 1 else 's'}, all of them printed here."
    return (
        f"{count:,} {noun}s. The first {PRINTED:,} are printed here; all {count:,} are in the "
        f"attached {JSON_NAME}."
    )


def _work_rows(works: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Facts]:
    for name, row in works:
        yield Facts((("work", name), *work_rows(row)), _CODES)


def _single(works: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    """Tell of works of an import that were asked for by name."""
    if not works:
        return
    parts: list[Part] = [
        Text(
            "The leaf of a part commits to all works in it by one root. The hashes lead from the "
            "work to it, as "
            "those of an event lead to the root of the log."
        )
    ]
    for work in works:
        seq, _, at = work["work"].partition(".")
        place = f"number {int(at):,} of {work['of']:,} in event {int(seq):,}"
        rows = (("work", work["work"]), ("place", place), *work_rows(work["row"]))
        parts += [Facts(rows, _CODES), Lines(tuple(work["proof"]))]
    yield Section("Works of the import that were asked for", tuple(parts))


def _proof(evidence: Mapping[str, Any], checkpoint: Checkpoint | None, account: Account) -> Iterator[Section]:
    if checkpoint is None:
        told = "The registry has signed no state of its log yet. Nothing here is proven; ask again later."
        yield Section("Proof", (Text(told),))
        return
    rows = [
        ("log", checkpoint.origin),
        ("size", f"{checkpoint.size:,} events"),
        ("root", checkpoint.root.hex()),
        *(("key", key) for key in account.keys),
    ]
    told = (
        "Every event of the registry is a leaf of one public log, a Merkle tree (RFC 6962). Its operator "
        "signs the root. Who has a signed root can tell when a leaf before it was changed, put in or taken "
        "out."
    )
    signed = "The signed state, as it was published:"
    lines = tuple(evidence["checkpoint"].removesuffix("\n").split("\n"))
    yield Section("Proof", (Text(told), Facts(tuple(rows), _CODES), Text(signed), Lines(lines)))
    for event in islice(evidence["events"], PRINTED):
        yield Section(f"Proof of event {event['seq']:,}", tuple(_path(event)), level=2)


def _path(event: Mapping[str, Any]) -> Iterator[Part]:
    leaf = event["leaf"].encode()
    # What is not a leaf of the log must not be printed as if it were one.
    seq = parse_leaf(leaf).seq
    yield Lines((event["leaf"],))
    rows = (("place", f"{seq - 1:,} (counted from 0)"), ("leaf hash", leaf_hash(leaf).hex()))
    yield Facts(rows, _CODES)
    if event["proof"] is None:
        yield Text("Not under the signed state yet: it was lodged too short a time before.")
    elif event["proof"]:
        yield Text("The hashes that lead from the leaf hash to the root, the lowest first:")
        yield Lines(tuple(event["proof"]))
    else:
        yield Text("It is the only leaf: its hash is the root.")


def _checking(account: Account) -> Section:
    key = account.keys[0] if account.keys else "KEY"
    steps = [
        f"Take {JSON_NAME} out of this PDF: most viewers list attachments; pdfdetach -saveall does it too.",
        f"Its SHA-256 must be {account.digest}.",
        "Ask somebody else than the sender for the public key of the log, and compare it with the one above.",
        "Check signature, proofs and what was said, without the registry: the first command below.",
        "Hold it against the log as it is today, to see that nothing was left out: the second command.",
    ]
    commands = [
        f"caveat log verify {JSON_NAME} --log-key '{key}'",
        f"caveat log verify {JSON_NAME} --registry {account.registry} --full",
    ]
    if account.has_token:
        steps.append("Check the timestamp with the authority's certificates: the third command.")
        commands.append(f"openssl ts -verify -data {JSON_NAME} -in {TOKEN_NAME} -CAfile authority.pem")
    by_hand = (
        "By hand: the leaf hash is SHA-256 over a zero byte and the leaf. With each hash of the list it "
        "gives the next, SHA-256 over a byte 1 and the two, left before right as the place says (RFC 9162, "
        "2.1.3.2); the last is the root. The root, in Base64, is the third line of the signed state; the "
        "signature (Ed25519) is over its lines up to the empty one. A leaf commits to what was said by "
        "HMAC-SHA256 under the event's salt over canonical JSON (RFC 8785)."
    )
    return Section(
        "How to check it yourself",
        (Points(tuple(steps), numbered=True), Lines(tuple(commands)), Text(by_hand)),
    )


def _limits(standing: Standing) -> Section:
    level = standing.version.get("evidence_level")
    items = [
        "That the works are by whoever lodged them. The evidence level says what was checked.",
        "That any model was trained on any of these works.",
        "The times, by more than the registry's word: the log fixes the order, a timestamp a latest time.",
        "What came after the signed state: a withdrawal, for example.",
        "What follows from it in law. This document is no legal advice.",
    ]
    if level == 0:
        items.insert(1, "Who lodged it: at level 0 nobody looked.")
    return Section("What this does not show", (Points(tuple(items)),))
