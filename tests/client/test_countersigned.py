"""Runs that have themselves countersigned: every kind of them, held against a recording of what was sent."""

import hashlib
import json
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pymerkle
import pytest

from registry import dsse
from registry.client import Asked, Options, RegistryClient, Snapshot, filter_dataset
from registry.client.countersigning import BUNDLE, TICKETS, countersign, read_tickets, write_countersigned
from registry.client.inplace import filter_in_place
from registry.client.private import PrivateRegistry
from registry.client.receipts import RECEIPT
from registry.client.run_tickets import RunTickets, keeping
from registry.countersignature import Bundle, open_countersignature, parse_countersignature
from registry.errors import DatasetError, ProofError, RegistryError
from registry.log_folder import LogFolder
from registry.model_receipt import open_receipt
from registry.note import Signer
from registry.preference import Use
from registry.receipt import PAYLOAD_TYPE
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.store import Store
from registry.store import engine as engines

from .conftest import DOMAIN, Live
from .recorder import LOG, Recorder, logged_registry, recording
from .test_shards import tar
from .test_zipped import packed

MAKER = Signer("maker", bytes(range(32)))
OPTIONS = Options(workers=1, signer=MAKER)


@pytest.fixture(scope="module")
def logged(_warm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from logged_registry(tmp_path_factory.mktemp("logged"))


@pytest.fixture
def recorder(logged: Live) -> Iterator[Recorder]:
    with recording(logged.url) as one:
        yield one


@pytest.fixture
def client(recorder: Recorder, logged: Live) -> Iterator[RegistryClient]:
    with RegistryClient(recorder.url, logged.keys["maker"], timeout=30, retries=0) as one:
        yield one


# What holds of a bundle.


def pymerkle_root(leaves: list[bytes]) -> bytes:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return bytes(tree.get_root())


def over_roots(roots: list[bytes]) -> bytes:
    """MTH of RFC 6962, with the hashes of the leaves given."""
    if len(roots) == 1:
        return roots[0]
    half = 1 << ((len(roots) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + over_roots(roots[:half]) + over_roots(roots[half:])).digest()


def held(account: Path, recorder: Recorder) -> Any:
    """The countersignature of a run by this registry, which says what the recording says."""
    receipt = (account / RECEIPT).read_bytes()
    bundle = Bundle.from_json((account / BUNDLE).read_bytes())
    assert bundle.receipt.to_json() == receipt
    signed = open_receipt(receipt, [MAKER.verifier])
    [envelope] = bundle.countersignatures
    said = open_countersignature(envelope, signed, [LOG.verifier])
    assert stat.S_IMODE((account / TICKETS).stat().st_mode) == 0o600
    lines = [line.split() for line in (account / TICKETS).read_text().splitlines()]
    assert {url for url, _ in lines} == {recorder.url}
    runs, by_run = [bytes.fromhex(ticket.split(".")[1]) for _, ticket in lines], recorder.by_run()
    assert len(lines) == len(set(runs)) == said.runs
    for told, at in ((said.asked, 0), (said.answered, 1)):
        assert (
            told == over_roots([pymerkle_root([run + one[at] for one in by_run[run]]) for run in runs]).hex()
        )
    assert said.requests == sum(len(by_run[run]) for run in runs)
    assert said.run == pymerkle_root(runs).hex()
    [asked] = [one for one in signed.receipt.registries if one.origin == LOG.name]
    assert (asked.runs, asked.as_of_seq) == ((said.run,), said.as_of_seq)
    public = receipt + (account / BUNDLE).read_bytes() + bundle.receipt.payload + envelope.payload
    assert not any(run.hex().encode() in public for run in runs)
    return said


# Every kind of run.


def rows(count: int, part: int = 0) -> list[str]:
    return [f"https://{DOMAIN if n % 3 == 0 else 'free.example'}/{part}/{n}.jpg" for n in range(count)]


def a_folder(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    return kit.plant(root / "set", {"a.png": kit.free(1), "a.txt": "A", "b.jpg": copies["same"]})


def kohya(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    files = {"10_cosy/a.png": kit.free(2), "10_cosy/b.jpg": copies["jpeg"], "reg/1_x/c.png": kit.free(3)}
    return kit.plant(root / "set", files)


def a_zip(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    kit.plant(root, {"set.zip": packed([("a.png", kit.free(4)), ("b.jpg", copies["same"])])})
    return root / "set.zip"


def a_table(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    kit.plant(root, {"set.csv": "url\n" + "".join(f"{row}\n" for row in [*rows(2500), "nothing"])})
    return root / "set.csv"


def parquet(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    pq.write_table(pa.table({"url": rows(60)}), root / "set.parquet")
    return root / "set.parquet"


def a_lance(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    lance.write_dataset(pa.table({"url": rows(60)}), root / "set.lance")
    return root / "set.lance"


def tables(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    files = {f"{n}.csv": "url\n" + "".join(f"{row}\n" for row in rows(9, n)) for n in range(3)}
    return kit.plant(root / "set", files)


def tars(root: Path, kit: Any, copies: dict[str, bytes]) -> Path:
    files = {f"{n}.tar": tar([(f"{n}{m}.png", kit.free(10 * n + m)) for m in range(2)]) for n in range(3)}
    more = {"3.tar": tar([("30.jpg", copies["jpeg"]), ("31.png", kit.free(31))]), "README.md": "about"}
    return kit.plant(root / "set", files | more)


KINDS = {
    "a folder": (a_folder, 1, 1),
    "kohya's folders": (kohya, 1, 1),
    "a zip": (a_zip, 1, 1),
    "a table": (a_table, 1, 1),
    "a table in parquet": (parquet, 1, 1),
    "Lance": (a_lance, 1, 1),
    "tables, one after the other": (tables, 1, 3),
    "shards, one after the other": (tars, 1, 4),
    "shards, by two processes": (tars, 2, 4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:lance is not fork-safe")
def test_a_run_is_countersigned(client, recorder, tmp_path, kit, copies, kind):
    plant, workers, runs = KINDS[kind]
    source = plant(tmp_path, kit, copies)
    target = tmp_path / f"clean{source.suffix}"
    summary = filter_dataset(source, target, [client], options=replace(OPTIONS, workers=workers))
    said = held(summary.account, recorder)
    assert (said.runs, said.requests >= runs, said.items > 0) == (runs, True, True)
    assert summary.countersigned == {recorder.url: ""}
    assert set(recorder.by_run()) == {
        bytes.fromhex(line.split()[1].split(".")[1])
        for line in (summary.account / TICKETS).read_text().split("\n")[:-1]
    }
    wire = json.loads((summary.account / "run.json").read_text())
    assert (wire["countersigned"], wire["not_countersigned"]) == ([recorder.url], {})
    assert client.book is None


def test_in_place_it_is_countersigned_too(client, recorder, tmp_path, kit, copies):
    summary = filter_in_place(a_folder(tmp_path, kit, copies), tmp_path / "away", [client], options=OPTIONS)
    assert held(summary.account, recorder).runs == 1


def test_in_place_what_was_cut_short_is_countersigned_by_the_tickets_in_the_journal(
    client, recorder, tmp_path, kit, copies, monkeypatch
):
    source = a_folder(tmp_path, kit, copies)
    for name in ("registry.client.moving.Journal.finish", "registry.client.inplace.appear"):
        with monkeypatch.context() as patch:
            patch.setattr(name, stop)
            with pytest.raises(KeyboardInterrupt):
                filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    asked = len(recorder.seen)
    summary = filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    held(summary.account, recorder)
    assert len(recorder.seen) == asked


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_privately_asked_ranges_are_countersigned(client, recorder, tmp_path, kit, copies):
    source = a_table(tmp_path, kit, copies)
    (tmp_path / "set.csv").write_text("".join(source.read_text().splitlines(keepends=True)[:20]))
    summary = filter_dataset(source, tmp_path / "clean.csv", [PrivateRegistry(client)], options=OPTIONS)
    said = held(summary.account, recorder)
    assert all(request.startswith(b"GET /api/v1/range/") for _, request, _ in recorder.seen)
    assert said.requests > 10


def test_shards_of_earlier_runs_bring_their_tickets(client, recorder, tmp_path, kit, copies, monkeypatch):
    source, target = tars(tmp_path, kit, copies), tmp_path / "clean"
    shared = filter_dataset(source, target, [client], options=replace(OPTIONS, share=(1, 2)))
    assert shared.countersigned == {}
    with monkeypatch.context() as patch:
        patch.setattr("registry.client.making.Making.notes", stop)
        with pytest.raises(KeyboardInterrupt):
            filter_dataset(source, target, [client], options=OPTIONS)
    by_run = recorder.by_run()
    summary = filter_dataset(source, target, [client], options=OPTIONS)
    assert (summary.resumed, held(summary.account, recorder).runs) == (4, 4)
    assert recorder.by_run() == by_run


def test_what_was_cut_short_while_it_was_countersigned_goes_on_from_its_shards(
    client, recorder, tmp_path, kit, copies, monkeypatch
):
    source, target = tars(tmp_path, kit, copies), tmp_path / "clean"
    with monkeypatch.context() as patch:
        patch.setattr("registry.client.receipts.write_countersigned", stop)
        with pytest.raises(KeyboardInterrupt):
            filter_dataset(source, target, [client], options=OPTIONS)
    summary = filter_dataset(source, target, [client], options=OPTIONS)
    assert (held(summary.account, recorder).runs, len(recorder.by_run()), summary.resumed) == (4, 4, 4)


def test_a_shard_that_was_filtered_without_tickets_leaves_the_run_without(client, tmp_path, kit, copies):
    source, target = tars(tmp_path, kit, copies), tmp_path / "clean"
    without = replace(OPTIONS, share=(2, 4), countersign=False)
    filter_dataset(source, target, [client], options=without)
    summary = filter_dataset(source, target, [client], options=OPTIONS)
    assert summary.countersigned == {client.url: "1.tar was filtered without keeping tickets"}
    assert not (summary.account / TICKETS).exists()


@pytest.mark.parametrize(
    "tickets", [None, {"kept": {"u": ["1.2"]}, "faults": {}}, {"kept": {}}], ids=["none", "no ticket", "half"]
)
def test_a_report_of_a_shard_with_other_tickets_is_refused(client, tmp_path, kit, copies, tickets):
    source, target = tars(tmp_path, kit, copies), tmp_path / "clean"
    filter_dataset(source, target, [client], options=replace(OPTIONS, share=(1, 4)))
    report = tmp_path / ".clean.caveat.partial" / "shards" / "0.tar.json"
    wire = json.loads(report.read_text())
    report.write_text(json.dumps(wire | {"tickets": tickets}))
    with pytest.raises(DatasetError, match=r"0\.tar\.json cannot be read"):
        filter_dataset(source, target, [client], options=OPTIONS)


def test_more_shards_than_one_countersignature_is_over_have_several(
    client, recorder, tmp_path, kit, copies, monkeypatch
):
    monkeypatch.setattr("registry.client.run_tickets.MAX_TICKETS", 3)
    summary = filter_dataset(tars(tmp_path, kit, copies), tmp_path / "clean", [client], options=OPTIONS)
    bundle = Bundle.from_json((summary.account / BUNDLE).read_bytes())
    signed = open_receipt(bundle.receipt.to_json(), [])
    said = [open_countersignature(one, signed, [LOG.verifier]) for one in bundle.countersignatures]
    assert [one.runs for one in said] == [3, 1]
    assert signed.receipt.registries[0].runs == tuple(one.run for one in said)
    assert sum(one.requests for one in said) == len(recorder.seen)


def test_more_countersignatures_than_a_bundle_holds_are_said(client, tmp_path, kit, copies, monkeypatch):
    monkeypatch.setattr("registry.client.run_tickets.MAX_TICKETS", 3)
    monkeypatch.setattr("registry.client.countersigning.MAX_COUNTERSIGNATURES", 1)
    summary = filter_dataset(tars(tmp_path, kit, copies), tmp_path / "clean", [client], options=OPTIONS)
    assert summary.countersigned == {client.url: "more than 1 countersignatures of one receipt"}
    assert not (summary.account / BUNDLE).exists()


# What goes wrong, said by name; the run stands.


def without_ticket(recorder, number):
    def twist(method, path, status, headers, content):
        if "Caveat-Ticket" in headers and headers["Caveat-Ticket"].split(".")[2] == str(number):
            del headers["Caveat-Ticket"]
        return status, headers, content

    return twist


def other_ticket(change):
    def of(recorder, number):
        def twist(method, path, status, headers, content):
            if "Caveat-Ticket" in headers and headers["Caveat-Ticket"].split(".")[2] == str(number):
                headers["Caveat-Ticket"] = change(headers["Caveat-Ticket"])
            return status, headers, content

        return twist

    return of


def answering(path_, change):
    def of(recorder, number):
        def twist(method, path, status, headers, content):
            return change(status, headers, content) if path == path_ else (status, headers, content)

        return twist

    return of


def edited(**members):
    def change(status, headers, content):
        wire = {**json.loads(content), **members}
        gone = [name for name, value in members.items() if value is None]
        return status, headers, json.dumps({k: v for k, v in wire.items() if k not in gone}).encode()

    return change


def said_otherwise(status, headers, content):
    """The registry signs a countersignature about fewer requests than the tickets are of."""
    wire = json.loads(content)
    bundle = Bundle.from_wire(wire["bundle"])
    said = parse_countersignature(bundle.countersignatures[0].payload)
    other = dsse.sign(PAYLOAD_TYPE, replace(said, requests=1).to_statement(), [LOG])
    bundle = replace(bundle, countersignatures=(other,))
    return status, headers, json.dumps(wire | {"bundle": bundle.to_wire()}).encode()


def refusing(status):
    problem = json.dumps({"detail": "not today"}).encode()
    return lambda *_: (status, {"Content-Type": "application/problem+json"}, problem)


CREATE, CHANGE, PARAMETERS = "/api/v1/receipts", "/api/v1/receipts/tickets", "/api/v1/parameters"
FAULTS = {
    "a ticket that was lost": (without_ticket, "the registry gave no ticket with its answer to request 1"),
    "a short ticket": (other_ticket(lambda t: t[:-1]), "not a ticket: '1."),
    "the ticket of another run": (
        other_ticket(lambda t: ".".join(["1", "0" * 32, *t.split(".")[2:]])),
        "the ticket of request 1 is not about what was asked and answered",
    ),
    "the ticket of another answer": (
        other_ticket(lambda t: ".".join([*t.split(".")[:9], "0" * 64, t.split(".")[10]])),
        "the ticket of request 1 is not about what was asked and answered",
    ),
    "a ticket with another MAC": (
        other_ticket(lambda t: f"{t.rpartition('.')[0]}.{'0' * 64}"),
        "refused (422): a ticket that this registry did not write, for the requests from 1 on",
    ),
    "no key": (answering(PARAMETERS, edited(max_tickets=0)), "gives no tickets: it has no key to sign with"),
    "an old registry": (answering(PARAMETERS, edited(max_tickets=None)), "it is too old to give tickets"),
    "one that changes tickets for others": (
        answering(CHANGE, edited(ticket=f"1.{'0' * 32}.0.3.1.1.1.1.{'0' * 64}.{'0' * 64}.{'0' * 64}")),
        "the registry changed tickets for one that does not stand for them",
    ),
    "one that changes none": (answering(CHANGE, refusing(503)), "answered 503: not today"),
    "gone by then": (answering(CREATE, refusing(503)), "answered 503: not today"),
    "one that refuses": (answering(CREATE, refusing(422)), "refused (422): not today"),
    "one that answers anything": (
        answering(CREATE, lambda *_: (200, {"Content-Type": "application/json"}, b"{}")),
        "a countersignature that does not hold",
    ),
    "one that says less": (answering(CREATE, said_otherwise), "it is about other requests than the tickets"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_goes_wrong_with_tickets_is_said_and_stops_nothing(
    client, recorder, tmp_path, kit, copies, case
):
    twist, said = FAULTS[case]
    recorder.twist = twist(recorder, 1)
    summary = filter_dataset(
        a_table(tmp_path, kit, copies), tmp_path / "clean.csv", [client], options=OPTIONS
    )
    assert summary.countersigned.keys() == {recorder.url}
    assert said in summary.countersigned[recorder.url]
    assert not (summary.account / BUNDLE).exists()
    receipt = open_receipt((summary.account / RECEIPT).read_bytes(), [MAKER.verifier]).receipt
    # What may still be countersigned later is named.
    proven = case in ("gone by then", "one that refuses", "one that answers anything", "one that says less")
    assert (bool(receipt.registries[0].runs), (summary.account / TICKETS).exists()) == (proven, proven)
    wire = json.loads((summary.account / "run.json").read_text())
    assert wire["not_countersigned"] == summary.countersigned


def test_who_does_not_want_to_wait_has_the_run_without(client, recorder, tmp_path, kit, copies, monkeypatch):
    monkeypatch.setattr("registry.client.http.RegistryClient.tell_receipts", stop)
    summary = filter_dataset(a_folder(tmp_path, kit, copies), tmp_path / "clean", [client], options=OPTIONS)
    assert summary.countersigned == {recorder.url: "it was not waited for"}
    assert (tmp_path / "clean").exists()
    assert (summary.account / TICKETS).exists()


def test_a_bundle_of_an_earlier_try_does_not_stay_beside_another_receipt(
    client, recorder, tmp_path, kit, copies, monkeypatch
):
    source = a_folder(tmp_path, kit, copies)
    with monkeypatch.context() as patch:
        patch.setattr("registry.client.inplace.appear", stop)
        with pytest.raises(KeyboardInterrupt):
            filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    recorder.twist = answering(CREATE, refusing(503))(recorder, 0)
    summary = filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    assert "answered 503" in summary.countersigned[recorder.url]
    assert not (summary.account / BUNDLE).exists()


@pytest.fixture
def bare(logged: Live) -> Iterator[Recorder]:
    """A registry that has no key to sign with."""
    with recording(logged.url) as one:
        one.twist = answering(PARAMETERS, edited(max_tickets=0))(one, 0)
        yield one


NO_KEY = "it gives no tickets: it has no key to sign with, as a mirror"


def test_one_of_several_registries_without_a_key_leaves_the_others_countersignature(
    client, recorder, bare, tmp_path, kit, copies
):
    source = a_folder(tmp_path, kit, copies)
    with RegistryClient(bare.url, timeout=30) as other:
        summary = filter_dataset(source, tmp_path / "clean", [other, client], options=OPTIONS)
    assert summary.countersigned == {bare.url: NO_KEY, recorder.url: ""}
    signed = open_receipt((summary.account / RECEIPT).read_bytes(), [])
    assert [bool(one.runs) for one in signed.receipt.registries] == [False, True]
    [envelope] = Bundle.from_json((summary.account / BUNDLE).read_bytes()).countersignatures
    assert open_countersignature(envelope, signed, [LOG.verifier]).runs == 1


def test_two_registries_countersign_one_receipt(client, recorder, logged, tmp_path, kit, copies):
    with recording(logged.url) as other, RegistryClient(other.url, timeout=30) as second:
        registries = [client, second]
        summary = filter_dataset(tars(tmp_path, kit, copies), tmp_path / "clean", registries, options=OPTIONS)
        urls = {other.url, recorder.url}
    assert summary.countersigned == dict.fromkeys(urls, "")
    bundle = Bundle.from_json((summary.account / BUNDLE).read_bytes())
    assert len(bundle.countersignatures) == 2
    assert read_tickets(summary.account).kept.keys() == urls


def test_one_that_is_named_twice_is_not_countersigned(client, tmp_path, kit, copies):
    source = a_folder(tmp_path, kit, copies)
    summary = filter_dataset(source, tmp_path / "clean", [client, client], options=OPTIONS)
    [told] = summary.countersigned.values()
    assert told == "it is named twice, and each of its requests has one number"


def test_offline_a_run_says_that_nothing_was_sent(logged, tmp_path, kit, copies):
    store = Store.open(engines.database_url(logged.data))
    built = SnapshotBuilder(store, LogFolder(logged.data / "log"), SnapshotFolder(tmp_path / "snapshots"))
    place = tmp_path / "snapshots" / str(built.build(int(time.time()), 99).manifest.seq)
    store.close()
    source = a_table(tmp_path, kit, copies)
    with Snapshot.open(place, log_key=LOG.verifier.text) as snapshot:
        summary = filter_dataset(source, tmp_path / "clean.csv", [snapshot], options=OPTIONS)
    assert list(summary.countersigned.values()) == ["a snapshot was asked, and nothing was sent"]
    receipt = open_receipt((summary.account / RECEIPT).read_bytes(), []).receipt
    assert receipt.registries[0].runs == ()


def test_who_wants_none_sends_no_run(client, recorder, tmp_path, kit, copies):
    without = replace(OPTIONS, countersign=False)
    summary = filter_dataset(a_folder(tmp_path, kit, copies), tmp_path / "clean", [client], options=without)
    assert summary.countersigned == {recorder.url: "none was asked for (--no-countersign)"}
    assert recorder.seen == []
    assert not any(path.startswith("/api/v1/receipts") for _, path in recorder.asked)
    assert not (summary.account / TICKETS).exists()


def test_without_a_receipt_there_is_nothing_to_countersign(client, recorder, tmp_path, kit, copies):
    source = a_folder(tmp_path, kit, copies)
    for options in (replace(OPTIONS, dry_run=True), Options(workers=1)):
        summary = filter_dataset(source, tmp_path / "clean", [client], options=options)
        assert summary.countersigned == {}
    assert recorder.seen == []


def test_a_run_that_asks_nothing_says_so(client, recorder, tmp_path, kit):
    shards = {"a.tar": tar([("a.png", b"no picture")]), "b.tar": tar([("b.png", kit.free(1))])}
    source = kit.plant(tmp_path / "set", shards)
    client.check_parameters()
    with keeping([client], wanted=True) as tickets:
        pass
    assert (tickets.kept, tickets.parts(client.url)) == ({client.url: []}, [])
    assert write_countersigned(tmp_path, [client], tickets, b"") == {client.url: "nothing was asked"}
    summary = filter_dataset(source, tmp_path / "clean", [client], options=OPTIONS)
    assert held(summary.account, recorder).runs == 1


def test_what_fails_in_the_midst_stops_the_keeping(client, recorder):
    client.check_parameters()
    recorder.twist = answering("/api/v1/lookup", refusing(503))(recorder, 0)
    with pytest.raises(RegistryError), keeping([client], wanted=True):
        client.lookup([Asked("https://free.example/1")], Use.GENAI_TRAIN)
    assert client.book is None


# Tickets on the disk.


def test_tickets_are_read_as_they_were_written(client, recorder, tmp_path, kit, copies):
    summary = filter_dataset(tars(tmp_path, kit, copies), tmp_path / "clean", [client], options=OPTIONS)
    tickets = read_tickets(summary.account)
    receipt = (summary.account / RECEIPT).read_bytes()
    named = open_receipt(receipt, []).receipt.registries[0].runs
    assert tickets.roots(recorder.url) == named
    assert RunTickets.from_wire(tickets.to_wire()) == tickets
    again = countersign(client, tickets.kept[recorder.url], receipt)
    assert again.published is None
    assert again.envelope in Bundle.from_json((summary.account / BUNDLE).read_bytes()).countersignatures
    with pytest.raises(RegistryError, match="the receipt does not name the run of these tickets"):
        countersign(client, tickets.kept[recorder.url][:2], receipt)


NOT_TICKETS = {
    "none": (None, "holds no tickets: nothing proves what its run asked"),
    "no ticket": (b"https://r.example 1.2\n", "line 1: not a ticket: '1.2'"),
    "no text": (b"\xff\n", "cannot be read"),
}


@pytest.mark.parametrize("case", NOT_TICKETS)
def test_what_are_no_tickets_is_refused(tmp_path, case):
    content, said = NOT_TICKETS[case]
    if content is not None:
        (tmp_path / TICKETS).write_bytes(content)
    with pytest.raises(ProofError, match=said):
        read_tickets(tmp_path)


def test_a_name_and_a_password_in_an_address_are_not_written(client, recorder, tmp_path, kit, copies):
    with RegistryClient(recorder.url.replace("://", "://me:secret@"), timeout=30) as named:
        summary = filter_dataset(a_folder(tmp_path, kit, copies), tmp_path / "c", [named], options=OPTIONS)
    held(summary.account, recorder)


# The command.


def test_a_process_that_is_killed_while_it_waits_leaves_nothing_that_counts(
    command, caveat, recorder, logged, tmp_path, kit, copies
):
    source, target, key = a_table(tmp_path, kit, copies), tmp_path / "clean.csv", tmp_path / "key"
    key.write_text(f"{MAKER.text}\n")
    key.chmod(0o600)
    words = ("filter", source, target, "--registry", recorder.url, "--signing-key", key)
    waiting, killed = threading.Event(), threading.Event()

    def hold(method, path, *answer):
        if path == CREATE:
            waiting.set()
            killed.wait(60)
        return answer

    recorder.twist = hold
    with command(*words) as process:
        assert waiting.wait(60)
        process.kill()
        process.communicate()
        killed.set()
    assert not target.exists()
    assert not (tmp_path / "clean.csv.caveat").exists()
    recorder.twist = None
    done = caveat(*words)
    assert (done.returncode, f"countersigned by {recorder.url}" in done.stdout) == (2, True)
    assert held(tmp_path / "clean.csv.caveat", recorder).runs == 1


def test_the_command_tells_who_countersigned(caveat, recorder, bare, tmp_path, kit, copies):
    source = a_folder(tmp_path, kit, copies)
    both = ("--registry", recorder.url, "--registry", bare.url)
    done = caveat("filter", source, tmp_path / "clean", *both)
    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    assert f"countersigned by {recorder.url}\n" in done.stdout
    assert f"not countersigned by {bare.url}: {NO_KEY}" in done.stdout
    done = caveat("filter", source, tmp_path / "again", *both, "--no-countersign", "--output", "json")
    wire = json.loads(done.stdout)
    assert wire["countersigned"] == []
    assert wire["not_countersigned"][recorder.url] == "none was asked for (--no-countersign)"
