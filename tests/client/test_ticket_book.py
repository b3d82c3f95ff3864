"""The tickets of a run: kept by many threads, merged as they come, and countersigned by a real registry."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client import Asked, RegistryClient
from registry.client.countersigning import countersign
from registry.client.run_tickets import keeping
from registry.client.ticket_book import AT_ONCE, TicketBook
from registry.countersignature import Bundle, open_countersignature
from registry.dsse import Envelope
from registry.errors import ProofError, RegistryAnswerError, RegistryRefusedError, RegistryUnreachableError
from registry.log_folder import LogFolder
from registry.model_receipt import open_receipt
from registry.note import Signer, Verifier, parse_checkpoint
from registry.preference import Use
from registry.publisher import Publisher
from registry.receipt import (
    sign_receipt,
    timestamp,
)
from registry.registrar import Registrar
from registry.tickets import (
    Ticket,
    issue,
    merge,
    message_hash,
    open_ticket,
    parse_run,
    ticket_key,
)
from registry.urlkeys import url_keys
from tests import runs
from tests.runs import MAKER

KEY = ticket_key(bytes(32))
USE = Use.GENAI_TRAIN


def given_for(book, number, answered=b"answered"):
    """The ticket that a registry gives."""
    run, _ = parse_run(book.header(number))
    hashes = {"asked": message_hash(run, b"asked"), "answered": message_hash(run, answered)}
    return issue(
        Ticket(run=run, begin=number, end=number + 1, items=1, as_of_seq=7, first=1, last=1, **hashes), KEY
    )


def merged(texts):
    return issue(merge([open_ticket(one, [KEY]) for one in texts]), KEY)


def kept(book, numbers):
    for number in numbers:
        book.keep(number, given_for(book, number), b"asked", b"answered")


def test_at_its_end_a_run_has_one_ticket_that_stands_for_all():
    book = TicketBook(merged, at_once=4)
    assert book.closed() == []
    for _ in range(23):
        kept(book, [book.take()])
    [one] = book.closed()
    assert open_ticket(one, [KEY]) == merge([open_ticket(text, [KEY]) for text in book.whole()])
    book._merge = lambda texts: merged(texts[:-1])
    with pytest.raises(ProofError, match="changed tickets for one that does not stand for them"):
        book.closed()
    kept(book, [book.take()])
    with pytest.raises(ProofError, match="did not change tickets for one: the registry changed tickets"):
        book.closed()


@given(st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_in_whatever_order_they_come_the_whole_run_is_there(order):
    book = TicketBook(merged, at_once=4)
    for number in range(len(order)):
        assert book.take() == number
    kept(book, order)
    whole = merge([open_ticket(one, [KEY]) for one in book.whole()])
    singles = [open_ticket(given_for(book, number), [KEY]) for number in range(len(order))]
    assert whole == merge(singles)
    # At most three of each level are left, however long the run.
    assert len(book.whole()) <= 9


def test_what_is_kept_does_not_grow_with_the_run():
    calls = []
    book = TicketBook(lambda texts: calls.append(len(texts)) or merged(texts), at_once=16)
    for _ in range(16**3 + 5):
        kept(book, [book.take()])
    assert len(book.whole()) == 6
    assert calls == [16] * (16**2 + 16 + 1)
    assert AT_ONCE & (AT_ONCE - 1) == 0


def test_the_number_of_a_request_that_failed_is_the_next_one_s():
    book = TicketBook(merged)
    assert [book.take(), book.take(), book.take()] == [0, 1, 2]
    book.give_back(1)
    book.give_back(0)
    assert book.missing() == [0, 1]
    assert [book.take(), book.take(), book.take()] == [0, 1, 3]


def refuse(texts):
    raise RegistryRefusedError("the registry refused (422): no")


FAULTS = {
    "no ticket": (lambda book: book.keep(0, None, b"asked", b"answered"), "gave no ticket with its answer"),
    "no text of a ticket": (lambda book: book.keep(0, "1.2", b"asked", b"answered"), "not a ticket: '1.2'"),
    "of another answer": (
        lambda book: book.keep(0, given_for(book, 0), b"asked", b"other"),
        "the ticket of request 0 is not about what was asked and answered",
    ),
    "of another request": (
        lambda book: book.keep(0, given_for(book, 1), b"asked", b"answered"),
        "the ticket of request 0 is not about what was asked",
    ),
    "of another run": (
        lambda book: book.keep(0, given_for(TicketBook(merged), 0), b"asked", b"answered"),
        "the ticket of request 0 is not about what was asked",
    ),
    "one that is still out": (
        lambda book: (book.take(), kept(book, [0])),
        "the ticket of request 1 of this run",
    ),
    "the first is still out": (
        lambda book: (book.take(), kept(book, [1])),
        "the ticket of request 0 of this",
    ),
    "none at all": (lambda book: None, "there is no ticket: nothing was asked"),
    "not changed for one": (
        lambda book: (setattr(book, "_merge", refuse), [kept(book, [n]) for n in range(4)]),
        "the registry did not change tickets for one: the registry refused",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_goes_wrong_is_said_at_the_end_and_stops_nothing(case):
    happens, said = FAULTS[case]
    book = TicketBook(merged, at_once=4)
    if case != "none at all":
        book.take()
    happens(book)
    with pytest.raises(ProofError, match=said):
        book.whole()


# With a real registry.


@pytest.fixture
def logged(store, database_url, tmp_path, threaded):
    """A client of a registry that publishes a log."""
    folder, signer = LogFolder(tmp_path / "log"), Signer.new("log.example")
    folder.write_signer(signer)
    Registrar(store, lambda: datetime.now(UTC)).announce_key("key", signer.verifier.text)
    Publisher(store, folder, signer).publish()
    where = database_url if "postgresql" in database_url else str(tmp_path)
    with RegistryClient(threaded(where, CAVEAT_LOG=str(folder.path)), timeout=30) as client:
        yield client


def receipt_of(client, tickets, as_of_seq, started):
    note = client.fetch("/checkpoint", 100_000).decode()
    origin = parse_checkpoint(note[: note.index("\n\n") + 1]).origin
    asked = replace(
        runs.ASKED, url=client.url, origin=origin, as_of_seq=as_of_seq, checkpoint=note,
        runs=tickets.roots(client.url),
    )  # fmt: skip
    times = {"started": timestamp(started), "finished": timestamp(int(time.time()) + 1)}
    run = replace(runs.RUN, registries=(asked,), **times)
    return sign_receipt(run, MAKER).to_json()


def test_a_run_from_several_threads_is_countersigned_without_a_gap(logged):
    started = int(time.time())
    assert logged.check_parameters()["max_tickets"] == 10_000
    items = [Asked(url=f"https://free.example/{n}.jpg") for n in range(30)]
    with keeping([logged], wanted=True) as tickets:
        book = logged.book
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: logged.lookup([item], USE), items))
        seq = logged.mark(url_keys(["https://free.example/1.jpg"]).keys).as_of_seq
        with pytest.raises(RegistryRefusedError):
            logged.lookup([Asked(url="x" * 70_000_000)], USE)
        assert book.missing() == [31]
    receipt = receipt_of(logged, tickets, seq, started)
    envelope = countersign(logged, tickets.kept[logged.url], receipt).envelope
    keys = [Verifier.parse(one) for one in logged.log_keys()["keys"]]
    said = open_countersignature(envelope, open_receipt(receipt, [MAKER.verifier]), keys)
    assert said.requests == 32
    assert said.items > 30
    assert book.run.hex() not in envelope.payload.decode()


def test_only_who_keeps_tickets_sends_a_run_and_only_with_look_ups(fake, client_of, unknown):
    client, sent = client_of(fake(unknown).url), []
    client._transport._session.hooks["response"].append(
        lambda r, **_: sent.append("Caveat-Run" in r.request.headers)
    )
    client.lookup([Asked(url="https://free.example/1.jpg")], USE)
    client.keep_tickets()
    client.check_parameters()
    client.lookup([Asked(url="https://free.example/1.jpg")], USE)
    assert sent == [False, False, True]


def test_a_registry_that_gives_no_tickets_answers_all_the_same(fake, client_of, unknown):
    client = client_of(fake(unknown).url)
    book = client.keep_tickets()
    assert client.lookup([Asked(url="https://free.example/1.jpg")], USE)
    with pytest.raises(ProofError, match="gave no ticket with its answer to request 0"):
        book.whole()


def test_what_fails_at_the_end_is_told_by_name(logged):
    started = int(time.time())
    logged.check_parameters()
    with keeping([logged], wanted=True) as kept:
        [known] = logged.lookup([Asked(url="https://free.example/1.jpg")], USE)
    receipt, tickets = receipt_of(logged, kept, known.as_of_seq, started), kept.kept[logged.url]
    with RegistryClient("http://127.0.0.1:9", retries=0) as gone, pytest.raises(RegistryUnreachableError):
        countersign(gone, tickets, receipt)
    other = Bundle(Envelope.from_json(receipt), (countersign(logged, tickets, receipt).envelope,))
    later = receipt_of(logged, kept, known.as_of_seq, started - 1)
    swapped = replace(other, receipt=type(other.receipt).from_json(later))
    for wire in (other.to_wire(), swapped.to_wire(), None, {**other.to_wire(), "countersignatures": []}):
        logged.tell_receipts = lambda body, path="", wire=wire: {"bundle": wire}
        with pytest.raises(RegistryAnswerError, match="a countersignature that does not hold"):
            countersign(logged, tickets, later)
