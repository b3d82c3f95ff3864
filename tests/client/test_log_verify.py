"""``caveat log verify`` and ``caveat export`` against registries that are served and publish."""

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.keys import create_key
from registry.client import RegistryClient
from registry.client.export import check_document, events_after
from registry.errors import ProofError
from registry.leaf import Leaf, format_leaf
from registry.log_folder import LogFolder
from registry.migrations import migrate
from registry.note import Signer
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Caller, Draft, Registrar, WorkDraft
from registry.store import Store
from registry.store import engine as engines

ORIGIN = "log.example"


@dataclass
class Place:
    """A registry that is served over HTTP; its log is published when a test says so."""

    url: str
    data: Path
    key: str
    caller: Caller
    store: Store

    @property
    def log(self) -> LogFolder:
        return LogFolder(self.data / "log")

    def lodge(self, count: int, mark: str = "a") -> None:
        registrar = Registrar(self.store, lambda: datetime.now(UTC))
        for number in range(count):
            work = WorkDraft(f"{mark} {number}", f"https://{mark}.example/{number}.jpg", None, None)
            registrar.register(self.caller, Draft({Use.TRAIN: Preference.RESERVED}, [work]))

    def publish(self) -> None:
        signers = self.log.signers()
        Publisher(self.store, self.log, signers[0], signers[1:]).publish()

    def operate(self, *words: str) -> str:
        command = [sys.executable, "-m", "api.commands", *words, "--data", str(self.data)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def client(self) -> RegistryClient:
        return RegistryClient(self.url, self.key, timeout=30)


@pytest.fixture
def place(tmp_path: Path, threaded: Callable[..., str]) -> Iterator[Callable[..., Place]]:
    with ExitStack() as stack:

        def start(name: str, signer: Signer, *, with_log: bool = True) -> Place:
            data = tmp_path / name
            data.mkdir()
            store = Store.open(engines.database_url(data))
            stack.callback(store.close)
            migrate(store)
            scopes = frozenset({"register", "lookup"})
            key = create_key(store, name="Ada", scopes=scopes, evidence_level=0, environment="test", at=0)
            LogFolder(data / "log").write_signer(signer)
            url = threaded(str(data) if with_log else engines.database_url(data))
            return Place(url, data, key.secret, Caller(key.principal_id, scopes, 0), store)

        yield start


@pytest.fixture
def signer() -> Signer:
    return Signer.new(ORIGIN)


@pytest.fixture
def registry(place: Callable[..., Place], signer: Signer) -> Place:
    """Seven events, all of them published."""
    one = place("one", signer)
    one.lodge(7)
    one.publish()
    return one


@pytest.fixture
def verify(caveat: Callable[..., Any]) -> Callable[..., Any]:
    return lambda one, *words: caveat("log", "verify", "--registry", one.url, *words)


def state_of(tmp_path: Path) -> Path:
    return tmp_path / "home/.local/share/caveat/logs/log.example.json"


def test_a_log_is_followed_from_the_first_time_on(verify, registry, signer, tmp_path):
    first = verify(registry)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"sound: {ORIGIN}, 7 events, root" in first.stdout
    assert f"is trusted from now on: {signer.verifier.text}" in first.stdout
    assert "compare it with what the operator publishes elsewhere" in first.stdout
    assert f"kept in {state_of(tmp_path)}" in first.stdout
    registry.lodge(300, "b")
    registry.publish()
    partial = [path for path in (registry.log.path / "tile").rglob("*.p/*") if path.is_file()]
    second = verify(registry, "--full", "--output", "json")
    told = json.loads(second.stdout)["logs"][0]
    assert (told["before"], told["size"], told["trust"], told["full"]) == (7, 307, "kept", True)
    third = verify(registry, "--log-key", signer.verifier.text)
    assert "goes on from the 307 events kept before" in third.stdout
    assert "trusted from now on" not in third.stdout
    # A partial tile may go once the full one is there.
    for path in partial:
        if path.parent.with_suffix("").exists():
            path.unlink()
    old = state_of(tmp_path)
    old.unlink()
    assert verify(registry, "--full").returncode == 0


def test_it_reads_what_the_full_tile_holds_where_the_partial_one_is_gone(verify, registry):
    """A checkpoint of 7 over a log whose operator swept away all but full tiles of a larger one."""
    before = registry.log.checkpoint()
    registry.lodge(300, "b")
    registry.publish()
    (registry.log.path / "checkpoint").write_text(before)
    for path in list((registry.log.path / "tile").rglob("*.p/7")):
        path.unlink()
    assert verify(registry, "--full").returncode == 0


def test_a_fork_under_one_key_is_found_and_both_notes_are_kept(verify, registry, place, signer, tmp_path):
    assert verify(registry).returncode == 0
    before = state_of(tmp_path).read_bytes()
    other = place("two", signer)
    other.lodge(9, "b")
    other.publish()
    done = verify(other)
    assert (done.returncode, done.stdout) == (3, "")
    assert "the log log.example forked: its first 7 events had the root" in done.stderr
    [written] = state_of(tmp_path).parent.glob("*.contradiction-*.txt")
    assert str(written) in done.stderr
    told = json.loads(written.read_text())
    assert (told["kept"], told["seen"]) == (registry.log.checkpoint(), other.log.checkpoint())
    assert state_of(tmp_path).read_bytes() == before
    assert verify(registry).returncode == 0


def test_a_log_that_shrank_is_found_and_a_mirror_that_is_behind_is_waited_for(
    verify, registry, place, signer, tmp_path
):
    older = registry.log.checkpoint()
    registry.lodge(2)
    registry.publish()
    assert verify(registry).returncode == 0
    other = place("two", signer)
    other.lodge(5)
    other.publish()
    behind = verify(other)
    assert behind.returncode == 3
    assert "shows 5 events of the log log.example, of which 9 are known from elsewhere" in behind.stderr
    assert list(state_of(tmp_path).parent.glob("*.contradiction-*")) == []
    (registry.log.path / "checkpoint").write_text(older)
    done = verify(registry)
    assert done.returncode == 3
    assert "shrank: it had 9 events, and shows 7" in done.stderr
    [written] = state_of(tmp_path).parent.glob("*.contradiction-*")
    assert str(written) in done.stderr


def test_keys_are_rotated_and_revoked(verify, registry, tmp_path, caveat):
    """Who comes by while both sign learns the new key; who does not must be told it in another way."""
    assert verify(registry).returncode == 0
    assert verify(registry, "--state", "late.json").returncode == 0
    [old] = registry.operate("log", "key").split()
    registry.operate("log", "key", "rotate")
    early = verify(registry)
    assert early.returncode == 3
    assert "the announcement is under no checkpoint yet" in early.stderr
    registry.publish()
    new = registry.operate("log", "key").split()[0]
    done = verify(registry)
    assert f"signed by a new key, which the log announces: {new}" in done.stdout
    registry.operate("log", "key", "revoke", old)
    registry.publish()
    assert verify(registry).returncode == 0
    assert json.loads(state_of(tmp_path).read_text())["keys"] == [new, old]
    late = verify(registry, "--state", "late.json")
    assert late.returncode == 3
    assert "no proof of that holds" in late.stderr
    assert "Ask the operator for the key by another way" in late.stderr
    assert verify(registry, "--state", "late.json", "--log-key", old).returncode == 3
    told = verify(registry, "--state", "late.json", "--log-key", new)
    assert (told.returncode, "goes on from the 7 events" in told.stdout) == (0, True)


def test_a_damaged_state_or_key_ends_with_3(verify, registry, tmp_path, caveat):
    assert verify(registry).returncode == 0
    state_of(tmp_path).write_text(state_of(tmp_path).read_text()[:-9])
    done = verify(registry)
    assert (done.returncode, "cannot be used" in done.stderr) == (3, True)
    assert "move it away" in done.stderr
    assert verify(registry, "--log-key", "x").returncode == 3
    assert "not the key of a log" in verify(registry, "--log-key", "x").stderr


def test_a_log_that_was_never_published_is_an_error(verify, live):
    done = verify(live)
    assert done.returncode == 3
    assert "no checkpoint has been published yet" in done.stderr


def test_where_no_log_is_published_nothing_is_waited_for_and_nothing_is_proven(caveat, verify, place, signer):
    one = place("none", signer, with_log=False)
    done = verify(one)
    assert (done.returncode, "publishes no log" in done.stderr) == (3, True)
    with one.client() as client:
        id_ = client.register({"preferences": {"train": "reserved"}, "works": [{"sha256": "5f" * 32}]})["id"]
    begun = time.monotonic()
    exported = caveat("export", id_, "--registry", one.url, "--key", one.key, "--wait", "600")
    assert time.monotonic() - begun < 60
    assert exported.returncode == 2
    assert "event 1 register is under no checkpoint yet" in exported.stderr
    document = json.loads(exported.stdout)
    assert (document["log_keys"], document["evidence"]["checkpoint"]) == (None, None)
    assert [event.leaf.seq for event in check_document(document, []).pending] == [1]


# -- export and evidence ------------------------------------------------------------------------


@pytest.fixture
def exported(caveat, registry, tmp_path) -> tuple[Path, str]:
    """A reservation that was added to and changed, exported once all of it was published."""
    with registry.client() as client:
        works = [{"title": f"Work {n}", "url": f"https://ada.example/{n}.jpg"} for n in range(1005)]
        id_ = client.register(
            {
                "preferences": {"train": "reserved"},
                "label": "Ada",
                "works": works,
                "rules": [{"kind": "exact", "value": "https://ada.example/rule"}],
            }
        )["id"]
        client.add_works(id_, [{"sha256": "5f" * 32}])
    registry.publish()
    done = caveat("export", id_, "--to", "ada.json", "--registry", registry.url, "--key", registry.key)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"ada.json: 2 events of {id_}\n"
    assert "the log's key is not known here" in done.stderr
    return tmp_path / "ada.json", id_


def test_an_export_holds_everything_and_is_checked_without_the_registry(
    caveat, verify, registry, signer, exported, tmp_path
):
    path, id_ = exported
    document = json.loads(path.read_text())
    assert document["reservation"]["label"] == "Ada"
    assert [work["title"] for work in document["works"]][:2] == ["Work 0", "Work 1"]
    assert len(document["works"]) == 1006
    assert [event["op"] for event in document["evidence"]["events"]] == ["register", "works"]
    assert path.stat().st_mode & 0o777 == 0o600
    checked = check_document(document, [signer.verifier])
    assert ([event.leaf.seq for event in checked.events], checked.pending) == ([8, 9], [])

    unknown = caveat("log", "verify", path)
    assert (unknown.returncode, "no key of the log 'log.example' is known" in unknown.stderr) == (3, True)
    given = caveat("log", "verify", path, "--log-key", signer.verifier.text)
    assert given.returncode == 0
    assert f"ada.json: sound: {id_}, under log.example, 9 events" in given.stdout
    assert "event 8 register: said as shown" in given.stdout
    assert verify(registry, path).returncode == 0
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(document["evidence"]))
    kept = caveat(
        "log", "verify", bare, path, "--output", "json", env={"CAVEAT_REGISTRY": "http://127.0.0.1:1"}
    )
    assert kept.returncode == 0
    told = json.loads(kept.stdout)
    assert told["logs"] == []
    assert [(one["record"], one["size"]) for one in told["evidence"]] == [(id_, 9)] * 2


def test_evidence_of_a_fork_is_held_against_the_log(verify, registry, place, signer, exported):
    """Signed by the same key, and of another log: alone it holds, against the log it does not."""
    path, _ = exported
    other = place("two", signer)
    other.lodge(20, "b")
    other.publish()
    done = verify(other, path, "--state", "other.json")
    assert done.returncode == 3
    assert "forked" in done.stderr


def test_with_full_a_document_that_leaves_something_out_is_found(
    verify, caveat, registry, exported, tmp_path
):
    """Evidence shows that events are there; that there are no others, the whole log shows."""
    path, id_ = exported
    at = ("--registry", registry.url, "--key", registry.key)
    assert caveat("withdraw", id_, *at).returncode == 0
    registry.publish()
    older = verify(registry, path, "--full", "--output", "json")
    assert older.returncode == 0
    assert json.loads(older.stdout)["logs"][0]["later"] == [{"record": id_, "seq": 10, "op": "withdraw"}]
    assert "has more of" in verify(registry, path, "--full").stdout
    assert caveat("export", id_, "--to", "new.json", *at).returncode == 0
    evidence = json.loads((tmp_path / "new.json").read_text())["evidence"]
    del evidence["events"][-1]
    (tmp_path / "cut.json").write_text(json.dumps(evidence))
    assert verify(registry, "cut.json").returncode == 0
    done = verify(registry, "cut.json", "--full")
    assert done.returncode == 3
    assert f"the document leaves out event 10 (withdraw) of {id_}" in done.stderr


def test_an_event_that_is_not_the_log_s_is_found_once_the_log_is_read(exported, signer):
    """One that no checkpoint covers can say anything, until the log has its place."""
    document = json.loads(exported[0].read_text())["evidence"]
    whole = check_document(document, [signer.verifier])
    leaves = [event.leaf for event in whole.events]
    assert events_after(whole, leaves, 9) == []
    said = json.loads(document["events"][1]["leaf"])
    forged = format_leaf(Leaf(10, said["op"], said["record"], bytes(32))).decode()
    event = {
        "seq": 10,
        "op": said["op"],
        "at": 0,
        "leaf": forged,
        "salt": None,
        "payload": None,
        "proof": None,
    }
    document["events"].append(event)
    pending = check_document(document, [signer.verifier])
    assert [event.leaf.seq for event in pending.pending] == [10]
    assert events_after(pending, leaves, 9) == []
    with pytest.raises(ProofError, match=r"event 10 of \w+ is not the one of the log"):
        events_after(pending, leaves, 10)


TAMPERED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a title": lambda d: d["works"][0].update(title="Mine"),
    "names made public": lambda d: d["reservation"].update(public=True),
    "an address": lambda d: d["works"][7].update(url="https://eve.example/"),
    "a work less": lambda d: d["works"].pop(),
    "another order": lambda d: d["works"].reverse(),
    "another event": lambda d: d["works"][0].update(work="1.0"),
    "the name": lambda d: d["reservation"].update(label="Eve"),
    "the preferences": lambda d: d["reservation"].update(preferences={"train": "allowed"}),
    "the state": lambda d: d["reservation"].update(state="withdrawn"),
    "the rules": lambda d: d["reservation"].update(rules=[]),
    "the history": lambda d: d["reservation"]["history"].pop(),
    "the count": lambda d: d["reservation"].update(works=2),
    "the identifier": lambda d: d["reservation"].update(id="a" * 26),
    "no reservation": lambda d: d.pop("reservation"),
    "another version": lambda d: d.update(v=2),
    "no evidence": lambda d: d.update(evidence=None),
    "evidence of nothing": lambda d: d["evidence"].update(events=[]),
    "what an event said": lambda d: d["evidence"]["events"][0]["payload"]["works"][0].update(title="Mine"),
    "the salt": lambda d: d["evidence"]["events"][0].update(salt="00" * 16),
    "the leaf": lambda d: d["evidence"]["events"][0].update(leaf=d["evidence"]["events"][1]["leaf"]),
    "the proof": lambda d: d["evidence"]["events"][0].update(proof=[]),
    "the checkpoint": lambda d: d["evidence"].update(
        checkpoint=d["evidence"]["checkpoint"].replace("\n9\n", "\n8\n")
    ),
}


def test_whatever_is_changed_in_an_export_is_found(caveat, exported, signer):
    path, _ = exported
    document = json.loads(path.read_text())
    check_document(document, [signer.verifier])
    for name, change in TAMPERED.items():
        changed = copy.deepcopy(document)
        change(changed)
        with pytest.raises(ProofError):
            pytest.fail(f"{name}: {check_document(changed, [signer.verifier])}")
    changed = copy.deepcopy(document)
    TAMPERED["a title"](changed)
    path.write_text(json.dumps(changed))
    done = caveat("log", "verify", path, "--log-key", signer.verifier.text)
    assert (done.returncode, "does not bear out what the export says: works" in done.stderr) == (3, True)
    path.write_text("{")
    assert caveat("log", "verify", path).returncode == 3


def test_what_is_not_published_yet_is_waited_for_and_then_said(
    caveat, command, registry, exported, signer, tmp_path
):
    _, id_ = exported
    words = ("export", id_, "--registry", registry.url, "--key", registry.key)
    with registry.client() as client:
        client.add_works(id_, [{"sha256": "60" * 32}])
    done = caveat(*words, "--wait", 0)
    assert done.returncode == 2
    assert "event 10 works is under no checkpoint yet" in done.stderr
    assert len(json.loads(done.stdout)["works"]) == 1007
    (tmp_path / "early.json").write_text(done.stdout)
    early = caveat("log", "verify", "early.json", "--log-key", signer.verifier.text)
    assert early.returncode == 2
    assert "early.json: not all proven" in early.stdout
    assert "event 10 works: said as shown, not proven yet" in early.stdout
    with command(*words, "--wait", 60) as waiting:
        time.sleep(2)
        registry.publish()
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, "no checkpoint yet" in err) == (0, False)
    assert len(json.loads(out)["evidence"]["events"]) == 3


@pytest.mark.parametrize("keep", [False, True], ids=["all", "keep"])
def test_after_an_erasure_the_log_holds_and_the_old_export_still_proves_what_was(
    caveat, verify, registry, exported, keep
):
    path, id_ = exported
    at = ("--registry", registry.url, "--key", registry.key)
    assert caveat("erase", id_, "--yes", *(["--keep"] if keep else []), *at).returncode == 0
    registry.publish()
    done = verify(registry, path, "--full")
    assert (done.returncode, f"sound: {id_}" in done.stdout) == (0, True)
    again = caveat("export", id_, "--to", "after.json", *at)
    if not keep:
        assert (again.returncode, "404" in again.stderr) == (3, True)
        return
    assert again.returncode == 0
    document = json.loads(path.with_name("after.json").read_text())
    assert {work["title"] for work in document["works"]} == {""}
    assert [event["payload"] is None for event in document["evidence"]["events"]] == [True, True, False]
    assert "Ada" not in json.dumps(document)


def test_what_belongs_to_others_is_not_exported(caveat, registry, exported, make_key_at):
    _, id_ = exported
    done = caveat(
        "export", id_, "--to", "no.json", "--registry", registry.url, "--key", make_key_at(registry)
    )
    assert (done.returncode, "404" in done.stderr) == (3, True)


@pytest.fixture
def make_key_at() -> Callable[[Place], str]:
    def make(one: Place) -> str:
        scopes = frozenset({"register", "lookup"})
        return create_key(
            one.store, name="Eve", scopes=scopes, evidence_level=0, environment="test", at=0
        ).secret

    return make
