"""Tickets with answers, and what the registry countersigns by them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from typing import Any

import pytest
from flask.testing import FlaskClient

from registry.countersignature import Bundle, open_countersignature, parse_countersignature
from registry.dsse import Envelope
from registry.errors import ProofError
from registry.merkle import node_hash
from registry.model_receipt import open_receipt
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.receipt import sign_receipt, timestamp
from registry.tickets import format_run, issue, merge, message_hash, open_ticket, root_of_runs, ticket_key
from tests.api.receipts import ASKED, Clock, envelope_of, run_of
from tests.runs import MAKER, NOW

PATH, TICKETS, VERIFY = "/api/v1/receipts", "/api/v1/receipts/tickets", "/api/v1/receipts/verify"
RUN = bytes(range(16))
DRAFT = {"preferences": {"train": "reserved"}, "works": [{"url": "https://ada.test/1.jpg"}]}
ITEMS = {"items": [{"id": "a", "url": "https://ada.test/1.jpg"}, {"id": "b", "url": "https://b.test/"}]}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - 30)


@pytest.fixture
def client(timed_client: FlaskClient) -> FlaskClient:
    return timed_client


def asked(client: FlaskClient, number: int, run: bytes = RUN, **other: Any) -> Any:
    headers = {"Caveat-Run": format_run(run, number), **other.pop("headers", {})}
    answer = client.post("/api/v1/lookup", json=ITEMS, headers=headers, **other)
    assert answer.status_code == 200, answer.text
    return answer


def tickets_of(client: FlaskClient, count: int, run: bytes = RUN) -> list[str]:
    return [asked(client, number, run).headers["Caveat-Ticket"] for number in range(count)]


REQUESTS = {
    "look-up": (
        "POST",
        "/api/v1/lookup",
        {"data": json.dumps(ITEMS).encode(), "content_type": "application/json"},
        2,
    ),
    "marks": (
        "POST",
        "/api/v1/marks?of=sha256",
        {"data": bytes(48), "content_type": "application/octet-stream"},
        3,
    ),
    "range": ("GET", "/api/v1/range/rule/12345", {}, 1),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_ticket_says_what_was_asked_and_answered(client, checkpoint, signer, case):
    method, path, body, items = REQUESTS[case]
    answer = client.open(path, method=method, headers={"Caveat-Run": format_run(RUN, 7)}, **body)
    ticket = open_ticket(answer.headers["Caveat-Ticket"], [ticket_key(signer.private)])
    sent = b"%b %b\n" % (method.encode(), path.encode()) + body.get("data", b"")
    assert ticket.asked == message_hash(RUN, sent)
    assert ticket.answered == message_hash(RUN, answer.data)
    assert (ticket.run, ticket.begin, ticket.end, ticket.items) == (RUN, 7, 8, items)
    assert (ticket.as_of_seq, ticket.first, ticket.last) == (2, NOW - 30, NOW - 30)


@pytest.mark.parametrize("case", REQUESTS)
def test_who_names_no_run_gets_the_same_answer_without_a_ticket(client, checkpoint, case):
    method, path, body, _ = REQUESTS[case]
    plain = client.open(path, method=method, **body)
    answer = client.open(path, method=method, headers={"Caveat-Run": format_run(RUN, 0)}, **body)
    assert "Caveat-Ticket" not in plain.headers
    assert plain.data == answer.data


@pytest.mark.parametrize("case", REQUESTS)
def test_a_run_that_cannot_be_read_is_refused(client, checkpoint, case):
    method, path, body, _ = REQUESTS[case]
    answer = client.open(path, method=method, headers={"Caveat-Run": "7"}, **body)
    assert answer.status_code == 422
    assert "Caveat-Run: expected 32 hexadecimal digits" in answer.get_json()["detail"]


def test_an_error_has_no_ticket(client):
    headers = {"Caveat-Run": format_run(RUN, 0)}
    answer = client.post("/api/v1/lookup", json={"items": 5}, headers=headers)
    assert (answer.status_code, answer.headers.get("Caveat-Ticket")) == (422, None)


def test_a_registry_without_a_key_says_so_and_answers_without_tickets(make_app, client):
    assert client.get("/api/v1/parameters").get_json()["max_tickets"] == 10_000
    bare = make_app().test_client()
    assert bare.get("/api/v1/parameters").get_json()["max_tickets"] == 0
    assert "Caveat-Ticket" not in asked(bare, 0).headers
    for path, body in ((TICKETS, {}), (PATH, {"receipt": envelope_of(run_of(None))})):
        answer = bare.post(path, json={"tickets": ["1"], **body})
        assert answer.status_code == 503
        assert "has no key to sign with" in answer.get_json()["detail"]


def test_a_damaged_key_takes_no_look_up_down_and_countersigns_nothing(client, publisher, checkpoint):
    tickets = tickets_of(client, 1)
    (publisher.folder.path / "key" / "private").write_text("PRIVATE+KEY+?\n")
    assert "Caveat-Ticket" not in asked(client, 1).headers
    assert client.get("/api/v1/parameters").get_json()["max_tickets"] == 0
    answer = client.post(PATH, json={"receipt": envelope_of(run_of(checkpoint)), "tickets": tickets})
    assert answer.status_code == 503
    assert "the log's keys cannot be read" in answer.get_json()["detail"]


def countersigned(client: FlaskClient, run: Any, tickets: list[str]) -> dict[str, Any]:
    answer = client.post(PATH, json={"receipt": envelope_of(run), "tickets": tickets})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_the_registry_says_what_it_answered(client, checkpoint, signer):
    run = run_of(checkpoint)
    answer = countersigned(client, run, tickets_of(client, 3))
    bundle = Bundle.from_wire(answer["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [MAKER.verifier])
    [envelope] = bundle.countersignatures
    said = open_countersignature(envelope, signed, [signer.verifier])
    assert answer["receipt"] == said.receipt == signed.sha256
    assert (said.registry, said.requests, said.items, said.as_of_seq) == ("log.example", 3, 6, 2)
    assert (said.first, said.last) == (timestamp(NOW - 30), timestamp(NOW - 30))
    assert said.checkpoint == checkpoint
    assert RUN.hex() not in envelope.payload.decode()
    assert Bundle.from_json(bundle.to_json()) == bundle


def test_the_same_again_is_the_same(client, checkpoint):
    tickets = tickets_of(client, 2)
    assert countersigned(client, run_of(checkpoint), tickets) == countersigned(
        client, run_of(checkpoint), tickets
    )


def test_tickets_changed_on_the_way_prove_the_same(client, checkpoint):
    tickets = tickets_of(client, 5)
    changed = [
        client.post(TICKETS, json={"tickets": some}).get_json()["ticket"]
        for some in (tickets[:4], tickets[4:])
    ]
    assert changed[1] == tickets[4]
    run = run_of(checkpoint)
    assert countersigned(client, run, changed) == countersigned(client, run, tickets)


def test_after_a_rotation_the_tickets_of_the_old_key_hold(client, checkpoint, publisher, signer):
    tickets = tickets_of(client, 2)
    new = Signer.new("log.example")
    publisher.folder.write_signers([new, signer])
    bundle = Bundle.from_wire(countersigned(client, run_of(checkpoint), tickets)["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [])
    assert open_countersignature(bundle.countersignatures[0], signed, [new.verifier]).requests == 2


def sharded(checkpoint: str | None, runs: list[bytes], **other: Any) -> Any:
    """The receipt of a run whose shards asked as these runs."""
    named = {"checkpoint": checkpoint, "runs": (root_of_runs(runs).hex(),)}
    return replace(run_of(None), registries=(replace(ASKED, **named),), **other)


SHARDS = [bytes([number] * 16) for number in (9, 2, 5)]


def test_shards_that_asked_by_themselves_are_countersigned_together(client, checkpoint, signer):
    run = sharded(checkpoint, SHARDS)
    tickets = [tickets_of(client, count, one) for count, one in zip((3, 1, 2), SHARDS, strict=True)]
    bundle = Bundle.from_wire(countersigned(client, run, list(chain(*tickets)))["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [])
    said = open_countersignature(bundle.countersignatures[0], signed, [signer.verifier])
    assert (said.runs, said.requests, said.items) == (3, 6, 12)
    shards = [merge([open_ticket(one, [ticket_key(signer.private)]) for one in some]) for some in tickets]
    for told, of in ((said.asked, attrgetter("asked")), (said.answered, attrgetter("answered"))):
        first, second, third = map(of, shards)
        assert told == node_hash(node_hash(first, second), third).hex()
    assert said.run == root_of_runs(SHARDS).hex()
    assert all(one.hex() not in bundle.to_json().decode() for one in SHARDS)


NOT_ITS_SHARDS: dict[str, tuple[Callable[[list[list[str]]], list[list[str]]], str]] = {
    "one fewer": (lambda t: t[:2], "does not name the run of these tickets"),
    "another order": (lambda t: t[::-1], "does not name the run of these tickets"),
    "one twice": (lambda t: [*t, t[0]], "do not stand side by side, or a run stands there twice"),
    "torn apart": (lambda t: [t[0][:2], t[1], t[0][2:], t[2]], "do not stand side by side"),
    "one without its beginning": (
        lambda t: [t[0][2:], *t[1:]], "the tickets begin with request 2; a run begins with 0"
    ),
    "one without its end": (lambda t: [t[0][:2], *t[1:]], ""),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_ITS_SHARDS)
def test_shards_that_are_not_those_of_the_receipt_are_refused(client, checkpoint, case):
    choose, said = NOT_ITS_SHARDS[case]
    tickets = [tickets_of(client, count, one) for count, one in zip((3, 1, 2), SHARDS, strict=True)]
    body = {"receipt": envelope_of(sharded(checkpoint, SHARDS)), "tickets": list(chain(*choose(tickets)))}
    answer = client.post(PATH, json=body)
    # That a run asked more than it shows nobody can tell: less is proven then.
    assert answer.status_code == (422 if said else 200), answer.text
    assert said in answer.get_json().get("detail", "")


def test_shards_that_were_resumed_had_their_answers_before(client, clock, checkpoint):
    tickets = list(chain(*(tickets_of(client, 1, one) for one in SHARDS)))
    clock.seconds += 3600
    times = {"started": timestamp(NOW + 3500), "finished": timestamp(NOW + 3560)}
    run = sharded(checkpoint, SHARDS, resumed=1, **times)
    assert countersigned(client, run, tickets)["bundle"]
    fresh = {"receipt": envelope_of(sharded(checkpoint, SHARDS, **times)), "tickets": tickets}
    assert "the run says from" in client.post(PATH, json=fresh).get_json()["detail"]


def test_beside_a_mirror_of_it_the_registry_finds_what_it_was_asked(client, checkpoint, signer):
    run = run_of(checkpoint)
    [own] = run.registries
    mirror = replace(own, url="https://mirror.example", runs=())
    answer = countersigned(client, replace(run, registries=(mirror, own)), tickets_of(client, 2))
    bundle = Bundle.from_wire(answer["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [])
    assert open_countersignature(bundle.countersignatures[0], signed, [signer.verifier]).requests == 2


def other_signer(ticket: str) -> str:
    said = open_ticket(ticket, [ticket_key(bytes(32))])
    return issue(said, ticket_key(bytes(32)))


FORGED = Signer("log.example", bytes(32))
REFUSED: dict[str, tuple[dict[str, Any], Callable[[list[str]], list[str]], str]] = {
    "a ticket that is none": ({}, lambda t: ["1.2", *t[1:]], "not a ticket: '1.2'"),
    "a number changed": (
        {},
        lambda t: [re.sub(r"\.0\.1\.2\.", ".0.1.9.", t[0]), *t[1:]],
        "a ticket that this registry did not write, for the requests from 0 on",
    ),
    "one twice": ({}, lambda t: [t[0], t[0], t[1]], "after the requests up to 1 come those from 0 on"),
    "one that is missing": ({}, lambda t: [t[0], t[2]], "after the requests up to 1 come those from 2 on"),
    "the first is missing": ({}, lambda t: t[2:], "the tickets begin with request 2; a run begins with 0"),
    "too late": (
        {"started": timestamp(NOW - 7200), "finished": timestamp(NOW - 3600)},
        list,
        "answers from 2026-11-18T11:06:10Z to 2026-11-18T11:06:10Z; the run says from 2026-11-18T09:06:40Z",
    ),
    "too early": (
        {"started": timestamp(NOW + 290), "finished": timestamp(NOW + 300)},
        list,
        "from the future: the receipt says",
    ),
    "a later state than was answered": (
        {"as_of_seq": 3},
        list,
        "from the future: as of event 3, and this registry has had 2",
    ),
    "asked about nothing": ({"as_of_seq": None}, list, "that this registry was asked about nothing"),
    "a snapshot": ({"asked": "snapshot", "runs": ()}, list, "the run asked a snapshot: nothing was sent"),
    "another run": (
        {"runs": (root_of_runs([bytes(16)]).hex(),)},
        list,
        f"the receipt does not name the run of these tickets, {root_of_runs([RUN]).hex()}",
    ),
    "no run": ({"runs": ()}, list, "the receipt does not name the run of these tickets"),
    "another registry": (
        {"origin": "other.example"},
        list,
        "the receipt does not say that the registry with the log log.example was asked",
    ),
    "a log that forked": (
        {"checkpoint": sign_note(format_checkpoint(Checkpoint("log.example", 2, bytes(32))), [FORGED])},
        list,
        "a log that forked: this one never had the state of its checkpoint",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_tickets_do_not_prove_is_not_countersigned(client, checkpoint, case):
    changes, choose, said = REFUSED[case]
    own = {name: value for name, value in changes.items() if name in ("started", "finished")}
    registry = {name: value for name, value in changes.items() if name not in own}
    run = replace(run_of(None), registries=(replace(ASKED, **{"checkpoint": checkpoint, **registry}),), **own)
    answer = client.post(PATH, json={"receipt": envelope_of(run), "tickets": choose(tickets_of(client, 3))})
    assert answer.status_code == 422, answer.text
    assert said in answer.get_json()["detail"]


def test_a_later_state_than_that_of_its_answers_is_refused(client, checkpoint, make_key):
    tickets = tickets_of(client, 1)
    client.post("/api/v1/reservations", json=DRAFT, headers=make_key(("register",)).headers)
    run = run_of(checkpoint, as_of_seq=3)
    answer = client.post(PATH, json={"receipt": envelope_of(run), "tickets": tickets})
    assert answer.status_code == 422
    said = "the receipt says as of event 3, and the registry answered as of event 2"
    assert said in answer.get_json()["detail"]


def test_a_receipt_that_was_changed_is_not_countersigned(client, checkpoint):
    envelope = sign_receipt(run_of(checkpoint), MAKER)
    changed = Envelope(
        envelope.payload_type, envelope.payload.replace(b'"resumed":0', b'"resumed":1'), envelope.signatures
    )
    answer = client.post(PATH, json={"receipt": changed.to_wire(), "tickets": tickets_of(client, 1)})
    assert answer.status_code == 422
    assert answer.get_json()["detail"] == "the signature of maker is wrong"


@pytest.mark.parametrize("path", [PATH, TICKETS])
def test_more_tickets_than_are_merged_at_once_are_413(client, path):
    body = {"tickets": ["1"] * 10_001} | ({"receipt": envelope_of(run_of(None))} if path == PATH else {})
    answer = client.post(path, json=body)
    assert answer.status_code == 413
    assert "10,001 tickets; at most 10,000 in one request" in answer.get_json()["detail"]


# What whoever receives the bundle is told.


def verified(client: FlaskClient, wire: Any) -> dict[str, Any]:
    answer = client.post(VERIFY, json=wire, query_string={"key": MAKER.verifier.text})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def told(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["result"], one["text"]) for one in answer["checks"] if one["name"] == "countersignature"]


def test_a_bundle_is_verified_with_its_countersignature(client, checkpoint):
    bundle = countersigned(client, run_of(checkpoint), tickets_of(client, 3))["bundle"]
    answer = verified(client, bundle)
    assert answer["verdict"] == "ok"
    assert told(answer) == [
        (
            "ok",
            "log.example answered 3 requests about 6 items, as of event 2, "
            "from 2026-11-18T11:06:10Z to 2026-11-18T11:06:10Z",
        )
    ]


def test_tampered_countersignatures_are_found_out(client, checkpoint, signer):
    bundle = Bundle.from_wire(countersigned(client, run_of(checkpoint), tickets_of(client, 3))["bundle"])
    [own] = bundle.countersignatures
    other = Bundle.from_wire(
        countersigned(client, run_of(checkpoint, resumed=1), tickets_of(client, 1))["bundle"]
    )
    more = own.payload.replace(b'"requests":3', b'"requests":4')
    elsewhere = own.payload.replace(b"log.example", b"elsewhere.ex").replace(b'"requests":3', b'"requests":4')
    about = own.payload.replace(b"Does not show", b"Also shows at")
    cases = {
        "the signature of log.example is wrong": replace(own, payload=more),
        "it is of the receipt": other.countersignatures[0],
        "a statement of 'urn:caveat:receipt:1'; expected 'urn:caveat:countersignature:1'": bundle.receipt,
        "predicate: about: says": replace(own, payload=about),
    }
    for said, envelope in cases.items():
        answer = verified(client, Bundle(bundle.receipt, (envelope,)).to_wire())
        assert answer["verdict"] == "not ok", said
        [(result, text)] = told(answer)
        assert result == "not ok"
        assert said.removeprefix("predicate: ") in text
    unknown = verified(client, Bundle(bundle.receipt, (replace(own, payload=elsewhere),)).to_wire())
    [(result, text)] = told(unknown)
    assert (result, "does not name the run" in text) == ("not ok", True)


def test_a_countersignature_cannot_be_of_an_earlier_state_than_the_receipt_says(client, checkpoint, signer):
    run = run_of(checkpoint)
    bundle = Bundle.from_wire(countersigned(client, run, tickets_of(client, 1))["bundle"])
    signed = open_receipt(bundle.receipt.to_json(), [])
    later = replace(signed, receipt=run_of(checkpoint, as_of_seq=9))
    with pytest.raises(ProofError, match="as of event 9, and the registry answered as of event 2"):
        open_countersignature(bundle.countersignatures[0], later, [signer.verifier])


NOT_BUNDLES = {
    "another member": lambda b: b | {"more": 1},
    "no list": lambda b: b | {"countersignatures": {}},
    "too many": lambda b: b | {"countersignatures": b["countersignatures"] * 101},
    "no receipt": lambda b: {"receipt": None, "countersignatures": []},
}


@pytest.mark.parametrize("case", NOT_BUNDLES)
def test_what_is_no_bundle_is_refused(client, checkpoint, case):
    bundle = countersigned(client, run_of(checkpoint), tickets_of(client, 1))["bundle"]
    assert client.post(VERIFY, json=NOT_BUNDLES[case](bundle)).status_code == 422


def test_a_bundle_is_read_to_the_byte(client, checkpoint):
    bundle = Bundle.from_wire(countersigned(client, run_of(checkpoint), tickets_of(client, 1))["bundle"])
    text = bundle.to_json()
    for other in (text + b"\n", text[:-1], b" " + text, json.dumps(json.loads(text)).encode()):
        with pytest.raises(ProofError, match="not a bundle"):
            Bundle.from_json(other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({b'"requests":1': b'"requests":0'}, "requests: 0 were answered, to 1 runs"),
        ({b'"runs":1': b'"runs":2'}, "requests: 1 were answered, to 2 runs"),
        ({b'"runs":1': b'"runs":0'}, "requests: 1 were answered, to 0 runs"),
        ({b'"items":2': b'"items":-2'}, "items: expected a whole number"),
        ({b'"first":"2026': b'"first":"2027'}, "before the first of"),
        ({b'"items":2': b'"items": 2'}, "not a countersignature as it is written"),
        ({b'"checkpoint":': b'"check":'}, "without checkpoint"),
    ],
    ids=[
        "no requests",
        "fewer than runs",
        "no runs",
        "a number below 0",
        "backwards",
        "a space",
        "another name",
    ],
)
def test_what_is_no_countersignature_is_refused(client, checkpoint, changes, said):
    bundle = Bundle.from_wire(countersigned(client, run_of(checkpoint), tickets_of(client, 1))["bundle"])
    payload = bundle.countersignatures[0].payload
    for before, after in changes.items():
        assert before in payload
        payload = payload.replace(before, after)
    with pytest.raises(ProofError, match=said):
        parse_countersignature(payload)
