"""Following a log, without a socket: what may be kept, and each way in which a log contradicts itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.client.export import check_document
from registry.client.log import Kept, NotYetError, Seen, Trust, check_log, read_entries, require_beginning
from registry.client.log_memory import LogMemory, visit
from registry.errors import CaveatError, LogError, ProofError
from registry.leaf import Leaf, commit, format_leaf
from registry.merkle import inclusion_proof, leaf_hash, root_of
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.tiles import ENTRIES, Tile, TileReader, pack_entries

ORIGIN = "log.example"
URL = "https://registry.example"
MIRROR = "https://mirror.example"
SALT = bytes(16)


def of_seed(number: int, name: str = ORIGIN) -> Signer:
    return Signer(name, bytes([number]) * 32)


A, B, C = (of_seed(number) for number in (1, 2, 3))


@dataclass
class Log:
    """A log in memory, whose entries, tiles and notes are those of the real functions."""

    signers: list[Signer] = field(default_factory=lambda: [A])
    leaves: list[bytes] = field(default_factory=list)
    announced: list[Leaf] = field(default_factory=list)

    def grow(self, to: int, mark: str = "k") -> "Log":
        for seq in range(len(self.leaves) + 1, to + 1):
            said = commit(SALT, {"n": f"{mark}{seq}"})
            self.leaves.append(format_leaf(Leaf(seq, "register", f"{mark}{seq}", said)))
        return self

    def announce(self, op: str, signer: Signer) -> "Log":
        key = signer.verifier.text
        leaf = Leaf(len(self.leaves) + 1, op, "log", commit(SALT, {"key": key}), "log", key)
        self.leaves.append(format_leaf(leaf))
        self.announced.append(leaf)
        return self

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        leaves = self.leaves[:size]
        return Checkpoint(self.signers[0].name, len(leaves), root_of([leaf_hash(one) for one in leaves]))

    def note(self, size: int | None = None) -> str:
        return sign_note(format_checkpoint(self.checkpoint(size)), self.signers)

    def fetch(self, tile: Tile) -> bytes:
        if tile.level == ENTRIES:
            return pack_entries(self.leaves[tile.index * 256 : tile.index * 256 + tile.width])
        step = 256**tile.level
        firsts = range(tile.index * 256 * step, (tile.index * 256 + tile.width) * step, step)
        return b"".join(root_of([leaf_hash(leaf) for leaf in self.leaves[at : at + step]]) for at in firsts)

    def keys(self, size: int | None = None) -> dict[str, Any]:
        covered = len(self.leaves) if size is None else size
        reader = TileReader(covered, self.fetch)
        events = [
            {
                "seq": leaf.seq,
                "op": leaf.op,
                "at": 0,
                "leaf": format_leaf(leaf).decode(),
                "salt": SALT.hex(),
                "payload": {"key": leaf.key},
                "proof": [one.hex() for one in inclusion_proof(reader, leaf.seq - 1, covered)]
                if leaf.seq <= covered
                else None,
            }
            for leaf in self.announced
        ]
        keys = [one.verifier.text for one in self.signers]
        return {"keys": keys, "record": "log", "checkpoint": self.note(size), "events": events}

    def seen(self, size: int | None = None) -> Seen:
        return Seen(URL, self.keys(size), self.note(size), self.fetch)


def kept_of(log: Log, size: int | None = None) -> Kept:
    return check_log(log.seen(size), None, None).kept


# -- what holds ---------------------------------------------------------------------------------


def test_the_first_time_the_key_is_trusted_and_that_is_said():
    found = check_log(Log().grow(7).seen(), None, None)
    assert (found.trust, found.before, found.announced) == (Trust.FIRST, None, None)
    assert found.kept.keys == (A.verifier,)
    assert found.kept.registries == {URL: 7}
    assert found.checkpoint.size == 7


def test_a_given_key_is_trusted_before_a_kept_one():
    log = Log().grow(3)
    assert check_log(log.seen(), None, A.verifier).trust is Trust.GIVEN
    assert check_log(log.seen(), kept_of(log), A.verifier).trust is Trust.GIVEN
    assert check_log(log.seen(), kept_of(log), None).trust is Trust.KEPT


LARGE = Log().grow(600)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600))
def test_every_state_is_the_beginning_of_every_later_one_and_of_no_earlier(old, new):
    kept = kept_of(LARGE, old)
    if old <= new:
        found = check_log(LARGE.seen(new), kept, None)
        assert (found.before.size, found.checkpoint.size) == (old, new)
    else:
        with pytest.raises(LogError, match="shrank"):
            check_log(LARGE.seen(new), kept, None)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.data())
def test_a_log_with_another_beginning_is_a_fork(old, new, data):
    other = Log().grow(data.draw(st.integers(0, old - 1))).grow(600, mark="x")
    with pytest.raises(LogError, match="shrank" if new < old else "forked"):
        check_log(other.seen(new), kept_of(LARGE, old), None)


def test_every_entry_makes_the_root():
    told = []
    read_entries(LARGE.checkpoint(), LARGE.fetch, told.append)
    assert told == [256, 256, 88]
    read_entries(Log().checkpoint(), LARGE.fetch)


# -- what does not ------------------------------------------------------------------------------


def swapped(leaves: list[bytes]) -> None:
    leaves[3], leaves[4] = leaves[4], leaves[3]


ENTRIES_WRONG: dict[str, tuple[Callable[[list[bytes]], Any], str]] = {
    "another entry": (lambda e: e.__setitem__(5, Log().grow(6, "x").leaves[5]), "do not make the root"),
    "one too few": (lambda e: e.pop(), "599|instead of"),
    "changed places": (swapped, "event 4: its place in the log has the entry of event 5"),
    "no leaf": (lambda e: e.__setitem__(5, b"{}"), "not a leaf"),
    "a leaf that we would not write": (lambda e: e.__setitem__(5, e[5] + b" "), "not a leaf"),
}


@pytest.mark.parametrize(("change", "said"), ENTRIES_WRONG.values(), ids=ENTRIES_WRONG)
def test_entries_that_do_not_make_the_root_are_refused(change, said):
    log = Log(leaves=list(LARGE.leaves))
    change(log.leaves)
    with pytest.raises(ProofError, match=said):
        read_entries(LARGE.checkpoint(), log.fetch)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
def test_a_tile_with_a_bit_turned_is_never_a_fork(level, size):
    """A registry's damaged file is its own error: the accusation needs both notes."""

    def fetch(tile: Tile) -> bytes:
        data = LARGE.fetch(tile)
        return bytes([data[0] ^ 1]) + data[1:] if tile.level == level else data

    kept = kept_of(LARGE, min(size, 100))
    if level == 1 and size < 256:
        assert check_log(replace(LARGE.seen(size), fetch=fetch), kept, None)
        return
    with pytest.raises(ProofError, match="do not make the root"):
        check_log(replace(LARGE.seen(size), fetch=fetch), kept, None)


@pytest.mark.parametrize("old", [1, 2, 3, 64, 100, 255, 256, 257, 599])
def test_hashes_of_another_log_prove_nothing(old):
    other = TileReader(600, Log().grow(600, "x").fetch)
    with pytest.raises(ProofError):
        require_beginning(LARGE.checkpoint(old), LARGE.checkpoint(600), other)


SEEN_WRONG: dict[str, tuple[Callable[[Seen], Seen], str]] = {
    "signed by another": (lambda s: replace(s, note=Log([B]).grow(9).note()), "does not hold under the key"),
    "a signature of other text": (lambda s: replace(s, note=s.note.replace("\n9\n", "\n8\n")), "is wrong"),
    "no signature": (lambda s: replace(s, note=s.note.rpartition("—")[0]), "does not hold"),
    "no note": (lambda s: replace(s, note="hello"), "does not hold"),
    "of another name": (
        lambda s: replace(s, note=sign_note(format_checkpoint(Checkpoint("x", 0, bytes(32))), [A])),
        "signed by the key of",
    ),
    "no keys": (lambda s: replace(s, keys={}), "shows no keys"),
    "an empty list of keys": (lambda s: replace(s, keys={"keys": []}), "shows no keys"),
    "a key that is none": (lambda s: replace(s, keys={"keys": ["x"]}), "not the key of a log"),
    "a key that speaks to the terminal": (
        lambda s: replace(s, keys={"keys": [Signer.new("\x1b[2J").verifier.text]}),
        "not the keys of a log",
    ),
}


@pytest.mark.parametrize(("change", "said"), SEEN_WRONG.values(), ids=SEEN_WRONG)
@pytest.mark.parametrize("first", [True, False])
def test_what_a_registry_may_not_show(change, said, first):
    log = Log().grow(9)
    with pytest.raises(ProofError, match=said):
        check_log(change(log.seen()), None if first else kept_of(log, 4), None)


# -- keys ---------------------------------------------------------------------------------------


def rotated(*, revoked: bool = False) -> Log:
    """B takes the place of A, which signs too until it is revoked."""
    log = Log([B] if revoked else [B, A]).grow(4).announce("key", B)
    return (log.announce("revoke-key", A) if revoked else log).grow(9)


def test_a_new_key_that_the_log_announces_is_adopted():
    found = check_log(rotated().seen(), kept_of(Log().grow(4)), None)
    assert found.announced == B.verifier
    assert found.kept.keys == (B.verifier, A.verifier)
    again = check_log(rotated(revoked=True).grow(30).seen(), None, B.verifier)
    assert again.kept.keys == (B.verifier,)


def test_once_adopted_the_old_key_may_go():
    log = rotated()
    kept = check_log(log.seen(), kept_of(Log().grow(4)), None).kept
    log.announce("revoke-key", A).signers.remove(A)
    found = check_log(log.seen(), kept, None)
    assert (found.announced, found.trust, found.before.size) == (None, Trust.KEPT, 9)


def test_two_rotations_at_once():
    log = Log([C, B, A]).grow(4).announce("key", B).announce("key", C)
    assert check_log(log.seen(), kept_of(Log().grow(4)), None).announced == C.verifier


def test_an_old_key_that_is_given_leads_to_the_new_one():
    assert check_log(rotated().seen(), None, A.verifier).announced == B.verifier


def test_while_the_announcement_is_not_covered_it_is_not_yet():
    log = rotated()
    with pytest.raises(NotYetError, match="under no checkpoint yet"):
        check_log(replace(log.seen(4), keys=log.keys(4)), kept_of(Log().grow(4)), None)


def without_announcement() -> Log:
    return Log([B, A]).grow(9)


def announced_as_a_record() -> Log:
    log = Log([B, A]).grow(4)
    log.announced.append(
        Leaf(5, "key", "log", commit(SALT, {"key": B.verifier.text}), "record", B.verifier.text)
    )
    log.leaves.append(format_leaf(log.announced[0]))
    return log


def announced_another() -> Log:
    return Log([B, A]).grow(4).announce("key", C)


def only_revoked() -> Log:
    return Log([B, A]).grow(4).announce("revoke-key", B)


@pytest.mark.parametrize(
    "log",
    [without_announcement, announced_as_a_record, announced_another, only_revoked],
    ids=lambda f: f.__name__,
)
def test_a_new_key_that_nothing_announces_is_refused(log):
    with pytest.raises(LogError, match="does not announce that") as caught:
        check_log(log().seen(), kept_of(Log().grow(4)), None)
    assert "--log-key" in caught.value.hint


def test_a_key_whose_announcement_only_the_new_one_signed_is_refused_and_can_be_given():
    log, kept = rotated(revoked=True), kept_of(Log().grow(4))
    with pytest.raises(LogError, match="no proof of that holds") as caught:
        check_log(log.seen(), kept, None)
    assert not isinstance(caught.value, NotYetError)
    assert "Ask the operator for the key by another way" in caught.value.hint
    found = check_log(log.seen(), kept, B.verifier)
    assert (found.trust, found.before.size) == (Trust.GIVEN, 4)
    assert found.kept.keys == (B.verifier, A.verifier)


def test_a_given_key_does_not_excuse_a_fork():
    with pytest.raises(LogError, match="forked"):
        check_log(rotated(revoked=True).seen(), kept_of(Log().grow(4, "x")), B.verifier)


def test_an_announcement_in_a_fork_is_a_contradiction():
    """The document of the keys and the checkpoint are of two logs, both signed."""
    seen = replace(rotated().seen(), keys=Log([B, A]).grow(4, "x").announce("key", B).keys())
    with pytest.raises(LogError, match="forked"):
        check_log(seen, kept_of(Log().grow(4)), None)


def test_the_key_of_another_log_is_refused():
    with pytest.raises(CaveatError):
        check_log(Log().grow(3).seen(), None, of_seed(1, "other.example").verifier)


# -- documents of evidence ----------------------------------------------------------------------


def evidence(record: str = "k1", op: str = "register") -> dict[str, Any]:
    payload = {"n": "k1"}
    leaf = format_leaf(Leaf(1, op, record, commit(SALT, payload))).decode()
    event = {"seq": 1, "op": op, "at": 0, "leaf": leaf, "salt": SALT.hex(), "payload": payload, "proof": None}
    return {"record": record, "checkpoint": None, "events": [event]}


NO_EVIDENCE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "of no event": evidence() | {"events": []},
    "of no record": evidence() | {"record": ["k1"], "events": []},
    "a number for a checkpoint": evidence() | {"checkpoint": 7},
    "a record that speaks to the terminal": evidence("\x1b[2J"),
    "an event that speaks to the terminal": evidence(op="\x1b[2J"),
    "inside: nothing": {"evidence": {}},
    "inside: a list": {"evidence": []},
    "inside, and no reservation": {"v": 1, "evidence": evidence()},
}


def test_evidence_that_no_checkpoint_covers_is_pending():
    assert [event.leaf.seq for event in check_document(evidence(), []).pending] == [1]


@pytest.mark.parametrize("document", NO_EVIDENCE.values(), ids=NO_EVIDENCE)
def test_what_is_no_evidence_is_refused(document):
    with pytest.raises(ProofError):
        check_document(document, [A.verifier])


# -- what is remembered -------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path):
    return LogMemory(tmp_path / "logs")


def test_what_is_kept_is_read_again(memory):
    kept = kept_of(Log().grow(4))
    path = memory.save(kept)
    assert path.name == "log.example.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert memory.load(ORIGIN) == kept
    assert memory.load("other.example") is None
    assert [one.name for one in memory.folder.iterdir()] == ["log.example.json"]


@pytest.mark.parametrize("origin", ["../../x", "a/b", ".", "..", "", "é" * 300, "con", "\x1b[2J"], ids=ascii)
def test_no_name_of_a_log_leads_out_of_the_folder(memory, origin):
    place = memory.place(origin)
    assert place.parent == memory.folder
    assert place.suffix == ".json"
    assert len(place.name.encode()) < 130
    assert "\x1b" not in place.name


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "cut off": lambda w: json.dumps(w)[:-20],
    "no JSON": lambda w: "x",
    "empty": lambda w: "",
    "a list": lambda w: "[]",
    "another version": lambda w: json.dumps(w | {"v": 2}),
    "no keys": lambda w: json.dumps(w | {"keys": []}),
    "another key": lambda w: json.dumps(w | {"keys": [B.verifier.text]}),
    "a key that is none": lambda w: json.dumps(w | {"keys": ["x"]}),
    "a key with a letter turned": lambda w: json.dumps(w | {"keys": [w["keys"][0][:-3] + "AA="]}),
    "another size": lambda w: json.dumps(w | {"checkpoint": w["checkpoint"].replace("\n4\n", "\n3\n")}),
    "no checkpoint": lambda w: json.dumps({k: v for k, v in w.items() if k != "checkpoint"}),
    "null": lambda w: json.dumps(w | {"checkpoint": None}),
    "another origin": lambda w: json.dumps(w | {"origin": "other.example"}),
    "registries that are no object": lambda w: json.dumps(w | {"registries": ["https://registry.example"]}),
    "a registry without a size": lambda w: json.dumps(w | {"registries": {"https://registry.example": "4"}}),
    "no registries": lambda w: json.dumps(w | {"registries": None}),
    "no UTF-8": lambda w: b"\xff\xfe",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_an_error_and_never_a_first_time(memory, damage):
    log = Log().grow(4)
    path = memory.save(kept_of(log))
    damaged = damage(json.loads(path.read_bytes()))
    path.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    before = path.read_bytes()
    with pytest.raises(ProofError, match="cannot be used") as caught:
        visit(log.seen(), memory, None)
    assert "Put a copy of it back" in caught.value.hint
    assert path.read_bytes() == before


def test_a_visit_keeps_the_new_state(memory):
    log = Log().grow(4)
    assert visit(log.seen(), memory, None)[1] == memory.place(ORIGIN)
    found, _ = visit(replace(log.grow(9).seen(), registry=MIRROR), memory, None)
    assert (found.before.size, memory.load(ORIGIN).checkpoint.size) == (4, 9)
    assert memory.load(ORIGIN).registries == {URL: 4, MIRROR: 9}


def test_a_mirror_that_is_behind_is_not_accused_and_nothing_is_claimed_of_it(memory):
    """Whether what it shows is the beginning of what is kept, it can show only once it has caught up."""
    log = Log().grow(9)
    visit(log.seen(), memory, None)
    before = memory.place(ORIGIN).read_bytes()
    for _ in range(2):
        with pytest.raises(
            NotYetError, match=r"shows 7 events of the log log\.example, of which 9 are known"
        ):
            visit(replace(log.seen(7), registry=MIRROR), memory, None)
    assert memory.place(ORIGIN).read_bytes() == before
    assert [one.name for one in memory.folder.iterdir()] == ["log.example.json"]
    with pytest.raises(LogError, match="forked"):
        visit(replace(Log().grow(9, "x").seen(), registry=MIRROR), memory, None)
    visit(replace(log.seen(), registry=MIRROR), memory, None)
    with pytest.raises(LogError, match="shrank"):
        visit(replace(log.seen(7), registry=MIRROR), memory, None)


CONTRADICTIONS: dict[str, Callable[[], Seen]] = {
    "fork": lambda: Log().grow(9, "x").seen(),
    "fork of the same size": lambda: Log().grow(4, "x").seen(),
    "shrunk": lambda: Log().grow(3).seen(),
    "signed by another": lambda: replace(Log().grow(9).seen(), note=Log([B]).grow(9).note()),
    "a key out of nowhere": lambda: without_announcement().seen(),
}


@pytest.mark.parametrize("seen", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_contradiction_is_written_down_with_both_notes_and_nothing_is_forgotten(memory, seen):
    log = Log().grow(4)
    path = visit(log.seen(), memory, None)[1]
    before, shown = path.read_bytes(), seen()
    for _ in range(2):
        with pytest.raises((LogError, ProofError)) as caught:
            visit(shown, memory, None)
        assert path.read_bytes() == before
    [written] = [one for one in memory.folder.iterdir() if one != path]
    assert str(written) in caught.value.hint
    told = json.loads(written.read_bytes())
    assert (told["kept"], told["seen"]) == (log.note(), shown.note)
    assert (told["why"], told["registry"]) == (caught.value.message, URL)
    assert told["known_keys"] == [A.verifier.text]


def test_what_passes_by_itself_accuses_nobody(memory):
    visit(Log().grow(4).seen(), memory, None)
    log = rotated()
    with pytest.raises(NotYetError):
        visit(replace(log.seen(4), keys=log.keys(4)), memory, None)
    assert [one.name for one in memory.folder.iterdir()] == ["log.example.json"]


def test_a_log_of_another_name_at_the_same_address_is_no_first_time(memory):
    visit(Log().grow(4).seen(), memory, None)
    other = of_seed(9, "log.example/after-4")
    log = Log([other]).grow(6)
    with pytest.raises(LogError, match=r"is called 'log\.example/after-4' now; it was log\.example"):
        visit(log.seen(), memory, None)
    found, path = visit(log.seen(), memory, other.verifier)
    assert (found.trust, path.name) == (Trust.GIVEN, "log.example%2Fafter-4.json")


def test_one_file_keeps_one_log(tmp_path):
    memory = LogMemory(tmp_path, tmp_path / "mine.state")
    visit(Log().grow(4).seen(), memory, None)
    with pytest.raises(
        LogError, match=r"mine\.state keeps the log log\.example, and this one is 'other\.example'"
    ):
        visit(Log([of_seed(9, "other.example")]).grow(6).seen(), memory, None)


def test_what_is_asked_further_must_hold_before_anything_is_kept(memory):
    def refuse(_: Any) -> None:
        raise ProofError("an entry")

    with pytest.raises(ProofError, match="an entry"):
        visit(Log().grow(4).seen(), memory, None, refuse)
    assert memory.load(ORIGIN) is None
