"""What was granted stays, and nothing else: from the artist's command to the trainer's filter, and back."""

import hashlib
import json
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from registry.cli import cli
from registry.cli.grant import TimeType
from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.granted import HeldGrant, HeldGrants
from registry.client.grants import hold_grants
from registry.client.log_memory import LogMemory, look, visit
from registry.client.private import PrivateRegistry
from registry.client.recheck import recheck
from registry.client.snapshot import Snapshot
from registry.dsse import Envelope, Signature, sign
from registry.errors import GrantError, ProofError, RegistryAnswerError
from registry.grant import GRANT_TYPE, Grant, format_grant, sign_grant
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Mode, Preference, Use
from registry.publisher import Publisher
from registry.statement import Match, Statement
from registry.store import Store

NOW = 1_795_000_000
LATER = 4_000_000_000
RESERVED = {"train": "reserved", "genai-train": "reserved"}
NAMES = ("ada.png", "ben.png", "both.png", "free.png")


@dataclass
class World:
    """A registry with a log, in which Ada and Ben reserved pictures; one of them both did."""

    url: str
    keys: dict[str, str]
    records: dict[str, str]
    signer: Signer
    folder: Path
    source: Path
    stack: ExitStack

    def client(self, key: str = "") -> RegistryClient:
        return self.stack.enter_context(RegistryClient(self.url, self.keys.get(key), retries=0))

    def granted(self, who: str = "ada", **other: Any) -> dict[str, Any]:
        to = {"name": "Acme"}
        wanted = {
            "reservation": self.records[who],
            "uses": ["genai-train"],
            "licensee": to,
            "valid_until": LATER,
        }
        return self.client(who).grant({**wanted, **other})

    def file(self, told: dict[str, Any], name: str = "a.grant") -> Path:
        path = self.folder / name
        path.write_bytes(Envelope.from_wire(told["envelope"]).to_json())
        return path

    def hold(self, *paths: Path, now: float = NOW + 10.0**9, use: Use = Use.GENAI_TRAIN) -> HeldGrants:
        return hold_grants(paths, [self.client()], use, self.memory, lambda: now)[0]

    @property
    def memory(self) -> LogMemory:
        return LogMemory(self.folder / "logs")

    def filtered(self, name: str, key: str = "", **rules: Any) -> tuple[set[str], dict[str, dict[str, Any]]]:
        """What stays, and the decisions."""
        target = self.folder / name
        filter_dataset(
            self.source, target, [self.client(key)], rules=Rules(**rules), options=Options(workers=1)
        )
        lines = (target.with_name(f"{name}.caveat") / "decisions.jsonl").read_text().splitlines()
        kept = {path.name for path in target.glob("*.png")} if target.exists() else set()
        return kept, {one["path"]: one for one in map(json.loads, lines)}


@pytest.fixture
def world(
    store: Store, database_url: str, tmp_path: Path, make_key: Any, threaded: Callable[..., str], kit: Any
) -> Any:
    signer = Signer.new("log.example")
    log = LogFolder(tmp_path / "log")
    log.write_signer(signer)
    keys = {
        "ada": make_key(("register",)).secret,
        "ben": make_key(("register",)).secret,
        "trainer": make_key(("lookup",)).secret,
        "known": make_key(("register",), 3).secret,
    }
    where = database_url if "postgresql" in database_url else str(tmp_path)
    url = threaded(where, CAVEAT_LOG=str(log.path))
    files = {name: kit.free(seed) for seed, name in enumerate(NAMES)}
    source = kit.plant(tmp_path / "set", files)
    with ExitStack() as stack:
        made = World(url, keys, {}, signer, tmp_path, source, stack)
        lodged = {"ada": ("ada.png", "both.png"), "ben": ("ben.png", "both.png")}
        for who, names in lodged.items():
            works = [{"sha256": hashlib.sha256(files[name]).hexdigest(), "title": name} for name in names]
            told = made.client(who).register({"preferences": RESERVED, "label": who.title(), "works": works})
            made.records[who] = told["id"]
        Publisher(store, log, signer).publish()
        yield made


def test_it_goes_stays_with_a_grant_and_goes_again_when_it_was_taken_back(world):
    assert world.filtered("before")[0] == {"free.png"}
    told = world.granted()
    held = world.hold(world.file(told))
    kept, decisions = world.filtered("with", grants=held)
    assert kept == {"ada.png", "free.png"}
    wanted = f"permitted by grant {told['id']}."
    assert decisions["ada.png"]["reason"].endswith(wanted)
    assert (decisions["ada.png"]["cause"], decisions["ada.png"]["lifted"][0]["grant"]) == (
        "grant",
        told["id"],
    )
    assert decisions["both.png"]["action"] == "remove"
    world.client("ada").revoke_grant(told["id"])
    # The file that was checked before is worth nothing more: the registry marks nothing with it.
    assert world.filtered("after", grants=held)[0] == {"free.png"}
    with pytest.raises(GrantError, match=rf"a\.grant: grant {told['id']} was taken back, with event 4"):
        world.hold(world.folder / "a.grant")


def test_a_picture_that_two_reserved_stays_when_both_granted_it(world):
    ada, ben = (world.file(world.granted(who), f"{who}.grant") for who in ("ada", "ben"))
    assert world.filtered("ada", grants=world.hold(ada))[0] == {"ada.png", "free.png"}
    assert world.filtered("both", grants=world.hold(ada, ben))[0] == set(NAMES)


def test_of_single_works_no_other_stays(world):
    [first, _] = [one["work"] for one in world.client("ada").works(world.records["ada"])]
    held = world.hold(world.file(world.granted(works=[first])), world.file(world.granted("ben"), "b.grant"))
    assert world.filtered("some", grants=held)[0] == {"ada.png", "ben.png", "free.png"}


def test_a_condition_is_met_by_a_grant(world):
    says = {"preferences": {"genai-train": "conditional"}, "terms": "https://ada.example/terms"}
    requests.patch(
        f"{world.url}/api/v1/reservations/{world.records['ada']}",
        json=says,
        headers={"Authorization": f"API {world.keys['ada']}"},
        timeout=10,
    ).raise_for_status()
    kept, decisions = world.filtered("without")
    assert kept == {"free.png"}
    assert "no proof that its condition is met" in decisions["ada.png"]["reason"]
    kept, decisions = world.filtered("with", "trainer", grants=world.hold(world.file(world.granted())))
    assert kept == {"ada.png", "free.png"}
    assert decisions["ada.png"]["reason"].startswith("Conditional for genai-train by “Ada”: ")


def test_strict_mode_wants_leave_by_somebody_who_is_known(world, kit):
    held = world.hold(world.file(world.granted()))
    kept, decisions = world.filtered("strict", mode=Mode.STRICT, grants=held)
    assert kept == set()
    assert "its evidence permits nothing by itself" in decisions["ada.png"]["reason"]
    digest = hashlib.sha256((world.source / "free.png").read_bytes()).hexdigest()
    told = world.client("known").register({"preferences": RESERVED, "works": [{"sha256": digest}]})
    world.records["known"] = told["id"]
    held = world.hold(world.file(world.granted("known"), "k.grant"))
    kept, decisions = world.filtered("known", mode=Mode.STRICT, grants=held)
    assert (kept, decisions["free.png"]["preference"]) == ({"free.png"}, "allowed")


def test_for_another_use_it_lifts_nothing(world):
    path = world.file(world.granted())
    with pytest.raises(GrantError, match=r"a\.grant: permits genai-train, and this is asked for train"):
        world.hold(path, use=Use.TRAIN)
    # Also where the check before is passed by: the registry marks it for its own use alone.
    assert world.filtered("train", use=Use.TRAIN, grants=world.hold(path))[0] == {"free.png"}


def test_the_account_tells_of_it_and_a_resumed_run_needs_the_same(world):
    told = world.granted()
    held = world.hold(world.file(told))
    world.filtered("out", grants=held)
    report = (world.folder / "out.caveat" / "report.html").read_text("utf-8")
    assert f"1 kept because of grant {told['id']} of log.example: genai-train to “Acme” until" in report
    assert "permitted by a grant" in report
    summary = filter_dataset(
        world.source, world.folder / "dry", [world.client()], rules=Rules(grants=held),
        options=Options(workers=1, dry_run=True),
    )  # fmt: skip
    wire = summary.to_wire()
    assert (wire["granted"], wire["unknown"], wire["kept"]) == (1, 1, 2)
    assert [one["id"] for one in wire["grants"]] == [told["id"]]
    assert wire["grants"][0]["licensee"] == "Acme"


def test_looked_at_again_without_the_grant_it_is_reserved_though_nothing_happened(world):
    told = world.granted()
    held = world.hold(world.file(told))
    world.filtered("out", grants=held)
    again = recheck(world.folder / "out", [world.client()])
    assert [one.sample.key for one in again.reserved] == ["ada.png"]
    again = recheck(world.folder / "out", [world.client()], grants=held)
    assert (again.reserved, again.asked) == ([], 4)
    world.client("ada").revoke_grant(told["id"])
    again = recheck(world.folder / "out", [world.client()], grants=held)
    assert [one.sample.key for one in again.reserved] == ["ada.png"]


def test_rows_of_a_table_stay_too(world):
    rules = {"preferences": RESERVED, "rules": [{"kind": "exact", "value": "https://ada.test/1.jpg"}]}
    told = world.client("ada").register(rules | {"works": [{"url": "https://ada.test/2.jpg"}]})
    world.records["ada"] = told["id"]
    table = world.folder / "urls.csv"
    table.write_text("url\n" + "".join(f"https://ada.test/{number}.jpg\n" for number in range(4)))
    # The first is reserved by a rule, the second as a work: only the whole reservation has both.
    one, whole = world.granted(works=[f"{told['seq']}.0"]), world.granted()
    held = {"none": HeldGrants(), "one": world.hold(world.file(one)), "whole": world.hold(world.file(whole))}
    kept = {}
    for name, grants in held.items():
        target, options = world.folder / f"{name}.csv", Options(workers=1)
        found = filter_dataset(table, target, [world.client()], rules=Rules(grants=grants), options=options)
        kept[name] = [int(url[-5]) for url in target.read_text().split()[1:]]
        assert found.counts["granted"] == len(kept[name]) - 2
    assert kept == {"none": [0, 3], "one": [0, 2, 3], "whole": [0, 1, 2, 3]}


def test_what_a_run_holds_goes_to_other_processes():
    held = HeldGrants.of([HeldGrant(GRANT, ("https://a.example",))] * 2)
    again = pickle.loads(pickle.dumps(Rules(grants=held)))  # noqa: S301 - our own bytes
    assert again == Rules(grants=held)
    assert (again.grants.ids, again.grants.ids_at("https://a.example")) == ({GRANT.id}, [GRANT.id])
    assert again.grants.ids_at("https://b.example") == []


# -- files that are refused before a run --


def resigned(told: dict[str, Any], signer: Signer, **changes: Any) -> Envelope:
    grant = replace(Grant.from_wire(told["grant"]), **changes)
    return sign(GRANT_TYPE, format_grant(grant), [signer])


def forged(told: dict[str, Any], **changes: Any) -> Envelope:
    envelope = Envelope.from_wire(told["envelope"])
    grant = replace(Grant.from_wire(told["grant"]), **changes)
    return replace(envelope, payload=format_grant(grant))


STRANGER = Signer("log.example", bytes(32))
OTHER = Signer("other.example", bytes(32))
FILES: dict[str, tuple[Callable[[World, dict[str, Any]], bytes], type[Exception], str]] = {
    "nothing": (lambda w, t: b"", ProofError, "not an envelope: not JSON"),
    "a picture": (lambda w, t: (w.source / "ada.png").read_bytes(), ProofError, "not an envelope: not UTF-8"),
    "too much": (lambda w, t: b" " * 1_000_001, ProofError, "so no grant"),
    "the answer instead": (lambda w, t: json.dumps(t).encode(), ProofError, "an envelope: has env"),
    "written anew": (lambda w, t: json.dumps(t["envelope"], indent=1).encode(), ProofError, "as it is"),
    "no end of line": (
        lambda w, t: Envelope.from_wire(t["envelope"]).to_json()[:-1], ProofError, "as it is written",
    ),
    "two in one": (
        lambda w, t: 2 * Envelope.from_wire(t["envelope"]).to_json(), ProofError, "not an envelope: not JSON",
    ),
    "a longer time": (
        lambda w, t: forged(t, valid_until=LATER + 1).to_json(), ProofError, "log.example is wrong",
    ),
    "more uses": (
        lambda w, t: forged(t, uses=(Use.GENAI_TRAIN, Use.TRAIN)).to_json(), ProofError, "is wrong",
    ),
    "another's reservation": (
        lambda w, t: forged(t, reservation=w.records["ben"]).to_json(), ProofError, "log.example is wrong",
    ),
    "another identifier": (lambda w, t: forged(t, id="a" * 26).to_json(), ProofError, "log.example is wrong"),
    "another licensee": (lambda w, t: forged(t, licensee="Bcme").to_json(), ProofError, "is wrong"),
    "no signature that could be": (
        lambda w, t: replace(
            Envelope.from_wire(t["envelope"]),
            signatures=(Signature(t["envelope"]["signatures"][0]["keyid"], bytes(64)),),
        ).to_json(),
        ProofError, "log.example is wrong",
    ),
    "signed by a stranger of its name": (
        lambda w, t: resigned(t, STRANGER).to_json(), GrantError, r"a\.grant: is signed by log\.example\+",
    ),
    "of another registry": (
        lambda w, t: resigned(t, OTHER, registry="other.example").to_json(),
        GrantError, r"is signed by other\.example\+\w+, and the registries that are asked sign otherwise",
    ),
    "of another registry, signed by this one": (
        lambda w, t: resigned(t, w.signer, registry="other.example").to_json(),
        ProofError, "a grant of 'other.example', signed by log.example",
    ),
    "another kind of document": (
        lambda w, t: sign("application/vnd.in-toto+json", b"{}", [w.signer]).to_json(),
        ProofError, "an envelope of 'application/vnd.in-toto",
    ),
    "signed, and unknown to the registry": (
        lambda w, t: resigned(t, w.signer, id="a" * 26).to_json(), GrantError, "does not know grant aaa",
    ),
    "signed, and the registry says otherwise": (
        lambda w, t: resigned(t, w.signer, licensee="Bcme").to_json(), GrantError, "states grant",
    ),
    "ended": (
        lambda w, t: Envelope.from_wire(w.granted(valid_until=NOW + 10**9)["envelope"]).to_json(),
        GrantError, r"a\.grant: was valid until 20",
    ),
    "not begun": (
        lambda w, t: Envelope.from_wire(w.granted(valid_from=LATER - 1)["envelope"]).to_json(),
        GrantError, r"a\.grant: is valid only from 20",
    ),
    "for another use": (
        lambda w, t: Envelope.from_wire(w.granted(uses=["search"])["envelope"]).to_json(),
        GrantError, "permits search, and this is asked for genai-train",
    ),
}  # fmt: skip


def test_what_is_refused(world):
    """One service for the whole table: each file is refused by its own name."""
    told = world.granted()
    path = world.folder / "a.grant"
    assert world.hold(world.file(told)).ids == {told["id"]}
    for name, (make, error, wanted) in FILES.items():
        path.write_bytes(make(world, told))
        with pytest.raises(error, match=wanted) as refused:
            world.hold(path)
        assert str(path) in str(refused.value), name


def test_erased_with_its_reservation_it_is_not_known_any_more(world):
    path = world.file(world.granted())
    world.client("ada").erase(world.records["ada"], keep=True)
    with pytest.raises(GrantError, match="does not know grant"):
        world.hold(path)


def test_a_key_that_is_pinned_is_the_one_that_counts(world):
    path = world.file(world.granted())
    world.memory.folder.mkdir()
    visit(look(world.client()), world.memory, None)
    _, keys = hold_grants([path], [world.client()], Use.GENAI_TRAIN, world.memory, lambda: NOW + 10.0**9)
    assert [one.is_new for one in keys] == [False]
    # Another key of the same name, without an announcement: nothing that it signs counts.
    LogFolder(world.folder / "log").write_signers([Signer.new("log.example"), world.signer])
    with pytest.raises(
        GrantError, match=r"is signed by log\.example\+\w+, and the registries that are asked"
    ):
        world.hold(world.file(world.granted(), "another.grant"))
    assert world.hold(path).ids


@pytest.mark.parametrize("kind", ["private", "snapshot"])
def test_where_it_cannot_be_asked_whether_one_holds_it_is_refused(world, kind, caveat):
    path = world.file(world.granted())
    if kind == "private":
        with pytest.raises(GrantError, match="cannot say which grants were taken back"):
            hold_grants([path], [PrivateRegistry(world.client())], Use.GENAI_TRAIN, world.memory, lambda: NOW)
        with pytest.raises(GrantError, match="do not tell what a grant covers"):
            PrivateRegistry(world.client()).lookup([], Use.TRAIN, grants=["a" * 26])
    else:
        with pytest.raises(GrantError, match="does not tell which grants hold"):
            Snapshot.lookup(object(), [], Use.TRAIN, grants=["a" * 26])  # type: ignore[arg-type]


# -- registries that do not do what they should --


def marked(grant: str, **other: Any) -> Any:
    """A look-up's answer: reserved, and marked with ``grant`` if there is one."""
    said = Statement({Use.GENAI_TRAIN: Preference.RESERVED}, Match("sha256"), grant=grant, **other)

    def script(body: dict[str, Any]) -> Any:
        results = [
            {
                "id": one["id"],
                "status": "ok",
                "preference": "reserved",
                "reason": "R.",
                "statements": [said.to_wire()],
            }
            for one in body["items"]
        ]
        return 200, {"as_of_seq": 7, "results": results}, {}

    return script


GRANT = Grant(
    id="g" * 26, registry="log.example", reservation="r" * 26, works=None, uses=(Use.GENAI_TRAIN,),
    licensee="Acme", licensee_url="", valid_from=0, valid_until=LATER, terms="", contact="", seq=1,
    issued_at=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("grant", "record", "action"),
    [
        pytest.param("", "", "remove", id="one that knows no grants marks nothing"),
        pytest.param("g" * 26, "", "keep", id="marked, the record not told"),
        pytest.param("g" * 26, "r" * 26, "keep", id="marked, its own record"),
        pytest.param("g" * 26, "s" * 26, "remove", id="marked, another record"),
    ],
)
def test_only_what_is_marked_and_can_be_meant_is_lifted(fake, tmp_path, kit, grant, record, action):
    registry = fake(marked(grant, record=record))
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    held = HeldGrants.of([HeldGrant(GRANT, (registry.url,))])
    with RegistryClient(registry.url, retries=0) as client:
        filter_dataset(
            source, tmp_path / "out", [client], rules=Rules(grants=held), options=Options(workers=1)
        )
    [line] = (tmp_path / "out.caveat" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == action
    assert registry.seen[-1][2]["grants"] == [GRANT.id]


def test_a_registry_that_marks_what_nobody_asked_about_is_not_believed(fake, tmp_path, kit):
    registry = fake(marked("h" * 26))
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    held = HeldGrants.of([HeldGrant(GRANT, (registry.url,))])
    with (
        RegistryClient(registry.url, retries=0) as client,
        pytest.raises(RegistryAnswerError, match="not asked"),
    ):
        filter_dataset(
            source, tmp_path / "out", [client], rules=Rules(grants=held), options=Options(workers=1)
        )


def test_a_grant_of_one_registry_is_not_named_to_another(fake, tmp_path, kit):
    own, other = fake(marked("g" * 26)), fake(marked(""))
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    held = HeldGrants.of([HeldGrant(GRANT, (own.url,))])
    with RegistryClient(own.url, retries=0) as one, RegistryClient(other.url, retries=0) as two:
        filter_dataset(
            source, tmp_path / "out", [one, two], rules=Rules(grants=held), options=Options(workers=1)
        )
    assert "grants" not in other.seen[-1][2]
    [line] = (tmp_path / "out.caveat" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "remove"


def test_where_a_list_may_have_been_cut_no_grant_counts(fake, tmp_path, kit):
    def script(body: dict[str, Any]) -> Any:
        status, answer, headers = marked("g" * 26)(body)
        for result in answer["results"]:
            result["statements"] = result["statements"] * 8
        return status, answer, headers

    registry = fake(script)
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    held = HeldGrants.of([HeldGrant(GRANT, (registry.url,))])
    with RegistryClient(registry.url, retries=0) as client:
        summary = filter_dataset(
            source, tmp_path / "out", [client], rules=Rules(grants=held), options=Options(workers=1)
        )
    assert (summary.kept, summary.counts["remove"]) == (0, 1)


def test_a_registry_without_a_log_or_that_knows_no_grants_is_refused_by_name(fake, tmp_path, unknown):
    path = tmp_path / "a.grant"
    path.write_bytes(sign_grant(GRANT, Signer("log.example", bytes(32))).to_json())
    registry = fake(lambda body: (404, {"detail": "no such route"}, {}))
    with (
        RegistryClient(registry.url, retries=0) as client,
        pytest.raises(GrantError, match="shows no keys of a log"),
    ):
        hold_grants([path], [client], Use.GENAI_TRAIN, LogMemory(tmp_path / "logs"), lambda: NOW)
    keys = {"keys": [Signer("log.example", bytes(32)).verifier.text]}
    told = {"id": GRANT.id, "seq": 1, "state": "granted", "grant": GRANT.to_wire(), "envelope": None}
    old = fake(lambda body: (200, keys, {}), lambda body: (200, told, {}))
    with RegistryClient(old.url, retries=0) as client, pytest.raises(GrantError, match="knows no grants"):
        hold_grants([path], [client], Use.GENAI_TRAIN, LogMemory(tmp_path / "logs"), lambda: NOW)


# -- the commands --


def test_the_commands_from_end_to_end(world, caveat):
    file, out = world.folder / "acme.grant", world.folder / "out"
    own, asked = ("--registry", world.url, "--key", world.keys["ada"]), ("--registry", world.url)
    wanted = ("--to", "Acme", "--use", "genai-train", "--terms", "one model", "--until", "2099-12-31")
    made = caveat("grant", "create", world.records["ada"], *wanted, "-o", file, *own)
    assert made.returncode == 0, made.stderr
    assert "genai-train to “Acme” until 2100-01-01 00:00 UTC" in made.stdout
    id_ = made.stdout.split("caveat grant revoke ")[1].strip()
    run = caveat("filter", world.source, out, "--grant", file, "--workers", 1, *asked)
    assert run.returncode == 0, run.stderr
    assert f"grant {id_} of log.example: genai-train to “Acme”" in run.stderr
    assert "taken for its key is log.example+" in run.stderr
    assert "1 kept because of a grant." in run.stdout
    assert {path.name for path in out.iterdir()} == {"ada.png", "free.png"}
    back = caveat("grant", "revoke", id_, *own)
    assert (back.returncode, "taken back at" in back.stdout) == (0, True)
    refused = caveat("filter", world.source, world.folder / "no", "--grant", file, *asked)
    assert (refused.returncode, "was taken back, with event 4" in refused.stderr) == (3, True)
    assert not (world.folder / "no").exists()


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A command in this process, with the registry to ask and Ada's key: its result, or what it raised."""
    for name, folder in (("HOME", "home"), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(name, str(world.folder / folder))
    asked = {"CAVEAT_REGISTRY": world.url, "CAVEAT_KEY": world.keys["ada"]}

    def run(*words: object, **environment: str) -> Any:
        return CliRunner().invoke(cli, [*map(str, words)], env={**asked, **environment})

    return run


def test_a_grant_is_shown_and_verified(world, run):
    told = world.granted(terms="one\nmodel", works=None)
    file = world.file(told)
    shown = run("grant", "show", file)
    assert shown.exit_code == 0
    assert "state        not checked: caveat grant verify does" in shown.output
    assert "terms        one model" in shown.output
    told_now = json.loads(run("grant", "show", told["id"], "--output", "json").output)
    assert told_now == told
    again = world.folder / "again.grant"
    assert run("grant", "show", told["id"], "-o", again).exit_code == 0
    assert again.read_bytes() == file.read_bytes()
    good = run("grant", "verify", file)
    assert (good.exit_code, "holds; not taken back" in good.output) == (0, True)
    key = world.signer.verifier.text
    alone = run("grant", "verify", file, "--log-key", key, "--output", "json", CAVEAT_REGISTRY="")
    assert (alone.exit_code, json.loads(alone.output)["revocation"]) == (0, "not asked")
    stranger = run("grant", "verify", file, "--log-key", Signer.new("log.example").verifier.text)
    assert isinstance(stranger.exception, ProofError)
    assert run("grant", "revoke", told["id"], "--output", "json").exit_code == 0
    refused = run("grant", "verify", file)
    assert isinstance(refused.exception, GrantError)
    assert "was taken back" in str(refused.exception)
    assert "state        revoked" in run("grant", "show", told["id"]).output


MADE_WRONG = {
    "no day": (["--until", "tomorrow"], "is no day: give 2027-06-30"),
    "a day that is none": (["--until", "2027-02-30"], "is no day"),
    "a day of another form": (["--until", "30.6.2027"], "is no day"),
    "the end of all": (["--until", "9999-12-31"], "is no day"),
    "a day that is past": (["--until", "2001-01-01"], "is not after valid_from"),
    "another's reservation": (["--until", "2099-01-01"], "no such reservation of yours"),
    "a work that is not there": (["--until", "2099-01-01", "--work", "9.9"], "9.9 is no work of reservation"),
    "an escape in the name": (["--until", "2099-01-01", "--to", "A\x1b[2J"], "has control characters"),
}


@pytest.mark.parametrize(("words", "told"), MADE_WRONG.values(), ids=MADE_WRONG)
def test_what_cannot_be_granted_leaves_no_file(world, run, words, told):
    file = world.folder / "a.grant"
    record = world.records["ben" if "another" in told or "yours" in told else "ada"]
    made = run("grant", "create", record, "--to", "Acme", "--use", "tdm", *words, "-o", file)
    assert made.exit_code != 0
    assert told in f"{made.output} {made.exception}"
    assert not file.exists()


def test_a_file_that_is_there_is_not_written_over(world, run):
    file = world.file(world.granted())
    before, until = file.read_bytes(), ("--until", "2099-01-01")
    made = run("grant", "create", world.records["ada"], "--to", "B", "--use", "tdm", *until, "-o", file)
    assert "is there already" in str(made.exception)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "end", "seconds"),
    [
        pytest.param("2027-06-30", True, 1_814_400_000, id="the end of a day"),
        pytest.param("2027-06-30", False, 1_814_313_600, id="its beginning"),
        pytest.param("2027-06-30T12:00:00Z", True, 1_814_356_800, id="a second"),
        pytest.param("1970-01-01", False, 0, id="the first"),
    ],
)
def test_a_day_is_read(text, end, seconds):
    assert TimeType(end=end).convert(text, None, None) == seconds
