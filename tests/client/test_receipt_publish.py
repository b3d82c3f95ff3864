"""Receipts that are published by the command, with the records that they honoured."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.countersigning import BUNDLE, TICKETS
from registry.client.published import Named, named_in, publish
from registry.client.receipts import RECEIPT
from registry.countersignature import Bundle
from registry.errors import DatasetError, ProofError, RegistryAnswerError
from registry.model_receipt import open_receipt
from registry.note import Signer
from registry.preference import Mode

from .conftest import DOMAIN, Live
from .recorder import LOG, logged_registry

MAKER = Signer("maker", bytes(range(32)))
OPTIONS = Options(workers=1, signer=MAKER)


@pytest.fixture(scope="module")
def logged(_warm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from logged_registry(tmp_path_factory.mktemp("logged"))


@pytest.fixture
def run(logged, tmp_path, kit, copies):
    """A run with a key that is told identifiers."""
    files = {"a.png": kit.free(1), "b.jpg": copies["same"], "c.jpg": copies["jpeg"]}
    source = kit.plant(tmp_path / "set", files)
    with logged.client() as client:
        return filter_dataset(source, tmp_path / "clean", [client], options=OPTIONS)


def receipt_of(summary):
    return (summary.account / RECEIPT).read_bytes()


def pages(logged, summary):
    with logged.client() as client:
        return client.fetch(f"/api/v1/receipts/{open_receipt(receipt_of(summary), []).sha256[:32]}", 10**6)


def test_the_command_publishes_a_receipt_with_what_it_honoured(caveat, logged, run):
    asked = ("receipt", "publish", run.target, "--registry", logged.url, "--key", logged.keys["maker"])
    done = caveat(*asked, "--honoured")
    assert (done.returncode, done.stderr) == (0, "")
    id_ = open_receipt(receipt_of(run), []).sha256[:32]
    assert f"published {logged.url}/receipt/{id_}, with event " in done.stdout
    assert "named     2 records that were honoured" in done.stdout
    badge = f"[![caveat receipt]({logged.url}/badge/{id_}.svg)]({logged.url}/receipt/{id_})"
    assert badge in done.stdout
    shown = json.loads(pages(logged, run))
    assert shown["bundle"] == json.loads((run.account / BUNDLE).read_bytes())
    told = [wire for one in run.notable for wire in one.to_wire().get("statements", ())]
    again = caveat(*asked, "--honoured", "--consents", "--output", "json")
    [wire] = json.loads(again.stdout)
    assert wire == {
        "registry": logged.url,
        "id": id_,
        "seq": shown["seq"],
        "page": f"{logged.url}/receipt/{id_}",
        "markdown": badge,
        "honoured": sorted({one["record"] for one in told}),
        "consents": [],
    }


def test_without_a_word_no_record_is_named(logged, run):
    with logged.client() as client:
        done = publish(client, run.account, receipt_of(run))
    assert done.named == Named()
    assert json.loads(pages(logged, run))["id"] == done.id


def test_a_run_that_was_not_told_identifiers_names_none(caveat, logged, tmp_path, kit, copies):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.jpg": copies["same"]})
    with RegistryClient(logged.url, timeout=30) as anybody:
        run = filter_dataset(source, tmp_path / "clean", [anybody], options=OPTIONS)
    asked = ("receipt", "publish", run.account, "--registry", logged.url, "--key", logged.keys["maker"])
    done = caveat(*asked, "--honoured")
    assert "named     0 records that were honoured" in done.stdout
    assert "It told the run no record: it does to a run with a key of scope lookup." in done.stdout


def test_of_tables_the_records_are_read_from_their_decisions(logged, tmp_path):
    hosts = (DOMAIN if n % 3 == 0 else "free.example" for n in range(50))
    (tmp_path / "set.csv").write_text("url\n" + "".join(f"https://{one}/x.jpg\n" for one in hosts))
    with logged.client() as client:
        run = filter_dataset(tmp_path / "set.csv", tmp_path / "clean.csv", [client], options=OPTIONS)
        receipt = receipt_of(run)
        named = named_in(run.account, open_receipt(receipt, []).receipt, logged.url)
        assert len(named.honoured) == 1
        assert publish(client, run.account, receipt, named).named == named


def test_what_went_for_another_reason_is_not_honoured(logged, tmp_path, kit, copies):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.jpg": copies["same"]})
    research = Rules(mode=Mode.RESEARCH_ART3, organisation="An Example", purpose="a study")
    with logged.client() as client:
        run = filter_dataset(source, tmp_path / "clean", [client], rules=research, options=OPTIONS)
    receipt = open_receipt(receipt_of(run), []).receipt
    assert (receipt.counts.removed, named_in(run.account, receipt, logged.url)) == (0, Named())


def test_what_was_lodged_after_the_oldest_answer_is_not_named(logged, run):
    receipt = open_receipt(receipt_of(run), []).receipt
    [asked] = receipt.registries
    assert len(named_in(run.account, receipt, logged.url).honoured) == 2
    earlier = replace(receipt, registries=(replace(asked, as_of_seq=0),))
    assert named_in(run.account, earlier, logged.url) == Named()
    assert named_in(run.account, receipt, "https://other.example") == Named()


def test_many_records_are_named_some_at_a_time():
    named = Named(tuple(map(str, range(2500))), ("a",))
    parts = list(named.parts())
    assert [len(one["honoured"]) for one in parts] == [1000, 1000, 500]
    assert [one.get("consents") for one in parts] == [["a"], None, None]
    assert list(Named().parts()) == [{}]


def test_a_receipt_that_nobody_countersigned_yet_is_when_it_is_published(logged, run):
    bundle = Bundle.from_json((run.account / BUNDLE).read_bytes())
    (run.account / BUNDLE).unlink()
    with logged.client() as client:
        publish(client, run.account, receipt_of(run))
        assert Bundle.from_json((run.account / BUNDLE).read_bytes()).receipt == bundle.receipt
        publish(client, run.account, receipt_of(run))
    assert len(Bundle.from_json((run.account / BUNDLE).read_bytes()).countersignatures) == 1


def no_tickets(run):
    (run.account / TICKETS).unlink()


def of_another(run):
    text = (run.account / TICKETS).read_text()
    (run.account / TICKETS).write_text(text.replace("http://127.0.0.1", "http://other.example"))


def a_mac(run):
    text = (run.account / TICKETS).read_text()
    (run.account / TICKETS).write_text(f"{text.rstrip()[:-64]}{'0' * 64}\n")


def torn_decisions(run):
    (run.account / "decisions.jsonl").write_text('{"path": "a.png"}\n')


REFUSED = {
    "no tickets": (no_tickets, {}, "holds no tickets: nothing proves what its run asked"),
    "tickets of another registry": (of_another, {}, "nothing proves that this run asked it"),
    "a ticket that was changed": (a_mac, {}, "a ticket that this registry did not write"),
    "no key": (lambda run: None, {"--key": ""}, "refused (401)"),
    "decisions that were torn": (torn_decisions, {}, "holds decisions that cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_published_is_refused_by_name(caveat, logged, run, case):
    change, options, said = REFUSED[case]
    change(run)
    key = options.get("--key", logged.keys["maker"])
    given = ("--registry", logged.url, *(("--key", key) if key else ()))
    done = caveat("receipt", "publish", run.target, "--honoured", *given)
    assert done.returncode == 3, done.stderr
    assert said in " ".join(done.stderr.split())


def test_a_receipt_away_from_its_account_is_refused(caveat, logged, run, tmp_path):
    (tmp_path / "sent.json").write_bytes(receipt_of(run))
    done = caveat("receipt", "publish", tmp_path / "sent.json", "--registry", logged.url)
    assert done.returncode == 3
    assert "is a receipt without its account" in " ".join(done.stderr.split())


@pytest.mark.parametrize("published", [None, {}, {"id": "0" * 32, "seq": 1}, {"id": 1, "seq": 1}])
def test_a_registry_that_does_not_say_where_is_not_believed(logged, run, published, monkeypatch):
    with logged.client() as client:
        tell = client.tell_receipts
        answer = lambda body, path="": {**tell({**body, "publish": False}), "published": published}  # noqa: E731
        monkeypatch.setattr(client, "tell_receipts", answer)
        with pytest.raises(RegistryAnswerError, match="without saying where the receipt was published"):
            publish(client, run.account, receipt_of(run))


def test_the_log_of_the_tests_is_the_one_that_signs(logged, run):
    [asked] = open_receipt(receipt_of(run), []).receipt.registries
    assert asked.origin == LOG.name


def test_an_account_without_decisions_names_nothing(logged, run):
    receipt = open_receipt(receipt_of(run), []).receipt
    (run.account / "decisions.jsonl").unlink()
    with pytest.raises(DatasetError, match="decisions"):
        named_in(run.account, receipt, logged.url)
    with pytest.raises(ProofError, match="holds no tickets"), logged.client() as client:
        publish(client, run.source, receipt_of(run))


def test_grants_by_which_works_were_used_are_named_of_this_registry_alone(logged, run):
    path = run.account / "decisions.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    [gone] = [one for one in lines if one["path"] == "b.jpg"]
    lifted = [{**one, "grant": "g1"} for one in gone["statements"]]
    elsewhere = [{**one, "grant": "g2", "registry": "https://other.example"} for one in gone["statements"]]
    granted = {**gone, "action": "keep", "cause": "grant", "statements": [], "lifted": lifted + elsewhere}
    reserved = {**gone, "lifted": [{**one, "grant": "g3"} for one in gone["statements"]]}
    receipt = open_receipt(receipt_of(run), []).receipt
    for line, expected in ((granted, ("g1",)), (reserved, ())):
        path.write_text(json.dumps(line) + "\n")
        assert named_in(run.account, receipt, logged.url).consents == expected
