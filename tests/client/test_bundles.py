"""Receipts with countersignatures: found wherever they lie, and every way to deceive with them refused."""

import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rfc8785
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from registry import dsse
from registry.client.attaching import attach
from registry.client.bundles import FOLDER_BUNDLE, Found, find_bundle, read_bundle
from registry.client.countersigning import BUNDLE
from registry.client.models import read_header, rewrite
from registry.client.receipts import RECEIPT
from registry.client.verifying import Against, verify_at
from registry.countersignature import Bundle, countersign
from registry.dsse import Envelope
from registry.errors import ProofError, RegistryUnreachableError
from registry.merkle import leaf_hash, root_of
from registry.model_checks import Policy, Result
from registry.model_receipt import COUNTERSIGNATURES_KEY, carried_countersignatures, open_receipt
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.receipt import PAYLOAD_TYPE, sign_receipt, timestamp
from registry.receipt_checks import KnownLog, Registries, check_state
from registry.tickets import Ticket, root_of_runs
from tests import runs
from tests.runs import DAY, HOUR, MAKER, NOW

LOG, OTHER_KEY = Signer("log.example", bytes(range(1, 33))), Signer("log.example", bytes(range(2, 34)))
OTHER_LOG = Signer("other.example", bytes(range(3, 35)))
NAMELESS = Signer("nameless.example", bytes(range(4, 36)))
SIZE, ID = 11, bytes(range(16))
LEAVES = [leaf_hash(b"%d" % number) for number in range(SIZE)]


class Tree:
    """The hashes of a log in memory."""

    def __init__(self, leaves=LEAVES):
        self.leaves = leaves

    def read(self, level, index):
        return root_of(self.leaves[index << level : (index + 1) << level])


def note(size, signer=LOG, leaves=LEAVES, root=None):
    root = root_of(leaves[:size]) if root is None else root
    return sign_note(format_checkpoint(Checkpoint(signer.name, size, root)), [signer])


def known(size=SIZE, head=SIZE, leaves=LEAVES, reader=None):
    return KnownLog("log.example", head, size, root_of(leaves[:size]), reader or Tree(leaves[:size]),
                    [LOG.verifier])  # fmt: skip


ASKED = replace(
    runs.ASKED, origin="log.example", as_of_seq=7, checkpoint=note(7), runs=(root_of_runs([ID]).hex(),)
)
RUN = replace(runs.RUN, registries=(ASKED,), started=timestamp(NOW - DAY - 60), finished=timestamp(NOW - DAY))
TICKET = Ticket(
    run=ID, begin=0, end=3, items=30, as_of_seq=7, first=NOW - DAY - 50, last=NOW - DAY - 10,
    asked=bytes(32), answered=bytes(32),
)  # fmt: skip
POLICY = Policy([MAKER.verifier], NOW, [LOG.verifier, NAMELESS.verifier])


def receipt_of(run=RUN):
    return sign_receipt(run, MAKER).to_json()


def said_by(signer=LOG, **changes):
    """What a registry says of the receipt, but for some changes, signed by its log's key or another."""
    said, _ = countersign(open_receipt(receipt_of(), []), [TICKET], LOG, note(9))
    return dsse.sign(PAYLOAD_TYPE, replace(said, **changes).to_statement(), [signer])


def of(run, **changes):
    return said_by(**changes, receipt=open_receipt(receipt_of(run), []).sha256)


def turned(envelope, before, after):
    payload = envelope.payload.replace(before, after)
    assert payload != envelope.payload
    return replace(envelope, payload=payload)


def other_signature(envelope):
    [one] = envelope.signatures
    return replace(envelope, signatures=(replace(one, sig=bytes([one.sig[0] ^ 1]) + one.sig[1:]),))


OTHER_RUN = replace(RUN, resumed=1)
NO_RUN = replace(RUN, registries=(replace(ASKED, runs=()),))
OFFLINE = replace(RUN, registries=(replace(ASKED, asked="snapshot", runs=(), url=None),))
LATER = replace(RUN, registries=(replace(ASKED, as_of_seq=8, checkpoint=note(8)),))


# name: the run, the countersignatures, and what is said of which check
TAMPERED = {
    "of another receipt": (RUN, [of(OTHER_RUN)], "countersignature", "it is of the receipt"),
    "of another receipt, by a log that is not known": (
        RUN, [of(OTHER_RUN, signer=OTHER_LOG, registry="other.example")],
        "countersignature", "it is of the receipt",
    ),
    "by a log that the receipt does not name": (
        RUN, [said_by(NAMELESS, registry="nameless.example")],
        "countersignature", "does not say that the registry with the log nameless.example was asked",
    ),
    "of a run that the receipt does not name, by a log that is not known": (
        RUN, [said_by(OTHER_LOG, registry="other.example")],
        "countersignature", "does not name the run",
    ),
    "by another key of the same name": (
        RUN, [said_by(OTHER_KEY)], "countersignature", "and not by log.example+",
    ),
    "a number changed": (
        RUN, [turned(said_by(), b'"requests":3', b'"requests":4')],
        "countersignature", "the signature of log.example is wrong",
    ),
    "a byte of its signature": (
        RUN, [other_signature(said_by())], "countersignature", "the signature of log.example is wrong",
    ),
    "a byte that breaks it": (
        RUN, [turned(said_by(), b'"requests":3', b'"requests":0')], "countersignature", "requests: 0",
    ),
    "the receipt in its place": (
        RUN, [Envelope.from_json(receipt_of())], "countersignature", "a statement of 'urn:caveat:receipt:1'",
    ),
    "doubled": (RUN, [said_by(), said_by()], "countersignature", "there twice: what log.example"),
    "asked for twice": (
        RUN, [said_by(), said_by(checkpoint=note(10))], "countersignature", "there twice: what log.example",
    ),
    "from the future": (
        RUN, [said_by(last=timestamp(NOW + HOUR))], "countersignature", "from the future: the last answer",
    ),
    "of a run that the receipt does not name": (
        NO_RUN, [of(NO_RUN)], "countersignature", "does not name the run",
    ),
    "of a run that asked a snapshot": (
        OFFLINE, [of(OFFLINE)], "countersignature", "the run asked a snapshot",
    ),
    "as of an earlier event than the receipt": (
        LATER, [of(LATER)], "countersignature", "as of event 8, and the registry answered as of event 7",
    ),
    "as of an event that there has not been yet": (
        RUN, [said_by(as_of_seq=12)],
        "countersignature", "from the future: as of event 12, and this registry has had 11",
    ),
    "a log that forked": (
        RUN, [said_by(checkpoint=note(9, root=bytes(32)))], "countersignature",
        "a log that forked: this one never had the state of its checkpoint, of 9 events, which it signed",
    ),
    "a state that was made up": (
        RUN, [said_by(checkpoint=note(9, OTHER_KEY, root=bytes(32)))], "countersignature",
        "made up, or of a log that forked",
    ),
    "a log that shrank": (
        RUN, [said_by(checkpoint=note(99, root=bytes(32)))], "countersignature",
        "a log that shrank: it signed 99 events, and has published 11",
    ),
    "a receipt of a log that forked": (
        replace(RUN, registries=(replace(ASKED, checkpoint=note(7, root=bytes(32))),)), [],
        "log of log.example",
        "a log that forked: this one never had the state of its checkpoint, of 7 events, which it signed",
    ),
    "a receipt of a state that was made up": (
        replace(RUN, registries=(replace(ASKED, checkpoint=note(7, OTHER_KEY, root=bytes(32))),)), [],
        "log of log.example", "made up, or of a log that forked",
    ),
    "a receipt of a longer log": (
        replace(RUN, registries=(replace(ASKED, checkpoint=note(99, OTHER_KEY, root=bytes(32))),)), [],
        "log of log.example", "its checkpoint has 99 events, and this log has published 11",
    ),
    "a receipt of a log that shrank": (
        replace(RUN, registries=(replace(ASKED, checkpoint=note(99, root=bytes(32))),)), [],
        "log of log.example", "a log that shrank: it signed 99 events, and has published 11",
    ),
    "a receipt from the future": (
        replace(RUN, registries=(replace(ASKED, as_of_seq=12),)), [],
        "log of log.example", "from the future: as of event 12, and this registry has had 11",
    ),
    "a receipt whose checkpoint is none": (
        replace(RUN, registries=(replace(ASKED, checkpoint="log.example\n7\n"),)), [],
        "log of log.example", "its checkpoint is no state of a log",
    ),
}  # fmt: skip


def carry(model, countersignatures):
    """Put countersignatures into a model, as anybody could."""
    text = rfc8785.dumps([one.to_wire() for one in countersignatures]).decode()
    rewrite(model, model, lambda metadata, _: {**metadata, COUNTERSIGNATURES_KEY: text})


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Write a receipt with countersignatures to where they may be found; returns the paths by their kind."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))

    def write(run=RUN, countersignatures=()):
        receipt = receipt_of(run)
        bundle = Bundle(Envelope.from_json(receipt), tuple(countersignatures))
        account = tmp_path / "clean.caveat"
        account.mkdir()
        (account / RECEIPT).write_bytes(receipt)
        (account / BUNDLE).write_bytes(bundle.to_json())
        alone = tmp_path / "upload.json"
        alone.write_bytes(bundle.to_json())
        model = tmp_path / "lora.safetensors"
        safetensors.numpy.save_file({"up": np.arange(6, dtype=np.float32)}, model, {"format": "pt"})
        attach(model, Found(receipt, (), None), MAKER)
        if countersignatures:
            carry(model, countersignatures)
        return {"account": account, "bundle": alone, "model": model}

    return write


NOWADAYS = known()


def verified(path, logs=(NOWADAYS,), policy=POLICY):
    return verify_at(path, Against(policy, Registries(list(logs)))).checks


def wrong(checks):
    return [(one.name, one.text) for one in checks if one.result is Result.NOT_OK]


KINDS = ["account", "bundle", "model"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_tampered_with_holds(places, kind):
    envelope = said_by()
    path = places(RUN, [envelope])[kind]
    checks = verified(path)
    [one] = [one for one in checks if one.name == "countersignature"]
    assert one.result is Result.OK
    assert "log.example answered 3 requests about 30 items, as of event 7, from 20" in one.text
    assert [one.name for one in checks if one.result is Result.OK and one.name.startswith("log")]
    others = [pair for pair in wrong(checks) if pair[0] not in ("decisions", "output")]
    assert others == []
    assert find_bundle(path).countersignatures == (envelope,)
    assert find_bundle(path).receipt == receipt_of()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_found_out_by_name(places, case, kind):
    run, countersignatures, name, message = TAMPERED[case]
    found = wrong(verified(places(run, countersignatures)[kind]))
    assert [text for which, text in found if which == name and message in text], found


def test_each_tampering_has_a_message_of_its_own():
    messages = sorted({message for _, _, _, message in TAMPERED.values()})
    assert len(messages) >= 18
    assert not any(later.startswith(one) for one, later in pairwise(messages))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_key_of_the_log_nothing_is_taken_for_right_or_wrong(places, kind):
    policy = replace(POLICY, log_keys=[])
    checks = verified(places(RUN, [said_by()])[kind], logs=(), policy=policy)
    told = {one.name: one for one in checks}
    assert told["countersignature"].result is Result.NOT_TOLD
    assert "no key of which is known here" in told["countersignature"].text
    assert told["log"].result is Result.NOT_TOLD


def test_a_registry_without_a_log_now_does_not_hide_that_one_was_named(places):
    checks = verified(places(RUN, [said_by()])["bundle"], logs=[replace(known(), origin="third.example")])
    [one] = [one for one in checks if one.name == "log"]
    assert one.result is Result.NOT_TOLD
    assert "did not ask the registry of third.example" in one.text


def test_more_countersignatures_than_are_read_are_refused(places):
    model = places()["model"]
    carry(model, [said_by()] * 101)
    assert ("countersignature", "101 of them; at most 100 are read") in wrong(verified(model))


# A registry whose hashes do not make its root shows nothing.


class Unreachable:
    def read(self, level, index):
        raise RegistryUnreachableError("https://r.example does not answer")


LYING = {
    "other hashes": (Tree([leaf_hash(b"x")] * SIZE), "do not make the root"),
    "none any more": (Unreachable(), "https://r.example does not answer"),
}


@pytest.mark.parametrize("case", LYING)
def test_hashes_that_lead_nowhere_are_no_proof(places, case):
    reader, message = LYING[case]
    found = wrong(verified(places(RUN, [said_by()])["bundle"], [known(reader=reader)]))
    assert {name for name, text in found if message in text} == {"log of log.example", "countersignature"}


def test_a_copy_of_a_log_that_is_behind_claims_nothing():
    behind = replace(known(5), is_copy=True)
    for said in (ASKED, replace(ASKED, as_of_seq=4)):
        found = check_state(said, behind)
        assert (found.result, "this copy of the log has 5" in found.text) == (Result.NOT_TOLD, True)
    assert check_state(replace(ASKED, as_of_seq=4, checkpoint=note(4)), behind).result is Result.OK


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 39))
def test_a_state_is_held_for_what_it_is(size, then, forked):
    """For every size of a log then and now, and wherever it may have forked."""
    leaves = [leaf_hash(b"%d" % number) for number in range(40)]
    others = [leaf_hash(b"other") if number == forked else one for number, one in enumerate(leaves)]
    log = KnownLog("log.example", 40, size, root_of(leaves[:size]), Tree(leaves[:size]), [LOG.verifier])
    asked = replace(ASKED, checkpoint=note(then, leaves=others))
    ok = then <= size and forked >= then
    assert (check_state(asked, log).result is Result.OK) is ok


# Where receipts lie.


def test_a_bundle_beside_another_receipt_is_refused(places):
    account = places(RUN, [said_by()])["account"]
    (account / RECEIPT).write_bytes(receipt_of(OTHER_RUN))
    with pytest.raises(ProofError, match="is not of the receipt beside it"):
        read_bundle(account)


def test_a_bundle_is_found_without_the_receipt_beside_it(places):
    account = places(RUN, [said_by()])["account"]
    (account / RECEIPT).unlink()
    assert find_bundle(account).receipt == receipt_of()
    output = account.with_name("clean")
    output.mkdir()
    assert find_bundle(output).account == account
    assert find_bundle(account / BUNDLE).account == account


def test_in_the_folder_of_a_model_its_own_comes_first(places):
    path = places(RUN, [said_by()])["bundle"]
    folder = path.with_name("clean")
    folder.mkdir()
    (folder / FOLDER_BUNDLE).write_bytes(Bundle(Envelope.from_json(receipt_of(OTHER_RUN)), ()).to_json())
    assert find_bundle(folder).receipt == receipt_of(OTHER_RUN)


def bundle_with(**members):
    wire = Bundle(Envelope.from_json(receipt_of()), (said_by(),)).to_wire() | members
    return json.dumps(wire, sort_keys=True, separators=(",", ":")).encode() + b"\n"


NONE = {
    "formatted anew": (json.dumps(json.loads(bundle_with()), indent=1).encode(), "not a bundle as it is"),
    "a member more": (bundle_with(more=1), "not a bundle: expected receipt and countersignatures"),
    "no list": (bundle_with(countersignatures={}), "expected a list"),
    "no envelopes": (bundle_with(countersignatures=[1]), "an envelope: expected a JSON object"),
    "no receipt": (bundle_with(receipt=None), "an envelope: expected a JSON object"),
    "a member twice": (bundle_with()[:-2] + b',"receipt":1}\n', "stands twice"),
    "the two exchanged": (
        Bundle(said_by(), (Envelope.from_json(receipt_of()),)).to_json(),
        "a statement of 'urn:caveat:countersignature:1'",
    ),
    "no JSON": (b"{", "not JSON"),
}


@pytest.mark.parametrize("case", NONE)
def test_a_bundle_that_is_none_is_not_ok_by_name(tmp_path, case):
    data, message = NONE[case]
    (tmp_path / "b.json").write_bytes(data)
    [one] = wrong(verified(tmp_path / "b.json"))
    assert one[0] == "receipt"
    assert message in one[1]


CARRIED = {
    "no JSON": ("[", "not JSON"),
    "no list": ("{}", "expected a list of envelopes"),
    "an empty one": ("[]", "expected a list of envelopes"),
    "no envelopes": ("[1]", "expected a JSON object"),
    "formatted anew": (json.dumps([said_by().to_wire()], indent=1), "not as it is written"),
}


@pytest.mark.parametrize("case", CARRIED)
def test_countersignatures_in_a_header_that_are_none_are_refused(case):
    text, message = CARRIED[case]
    with pytest.raises(ProofError, match=message):
        carried_countersignatures({COUNTERSIGNATURES_KEY: text})


def test_a_later_receipt_without_countersignatures_takes_those_of_the_earlier_out(places):
    model = places(RUN, [said_by()])["model"]
    assert COUNTERSIGNATURES_KEY in read_header(model).metadata
    attach(model, Found(receipt_of(OTHER_RUN), (), None), MAKER)
    assert COUNTERSIGNATURES_KEY not in read_header(model).metadata


@pytest.mark.parametrize("case", ["of another receipt", "doubled", "of a run that the receipt does not name"])
def test_what_is_not_of_the_receipt_is_not_attached(places, case):
    run, countersignatures, _, message = TAMPERED[case]
    model = places(run)["model"]
    before = model.read_bytes()
    with pytest.raises(ProofError, match=message):
        attach(model, Found(receipt_of(run), tuple(countersignatures), None), MAKER)
    assert model.read_bytes() == before


# The command line.


@pytest.mark.parametrize("kind", KINDS)
def test_show_card_and_attach_read_them(places, caveat, tmp_path, kind):
    path = places(RUN, [said_by()])[kind]
    shown = caveat("receipt", "show", path)
    assert "log.example answered 3 requests about 30 items, as of event 7" in shown.stdout
    told = json.loads(caveat("receipt", "show", path, "--output", "json").stdout)
    assert [one["registry"] for one in told["countersignatures"]] == ["log.example"]
    card = caveat("receipt", "card", path, "-o", tmp_path / "card.md")
    assert card.returncode == 0, card.stderr
    assert "kept: 20" in (tmp_path / "card.md").read_text("utf-8")
    key, model = tmp_path / "maker.key", tmp_path / "other.safetensors"
    key.write_text(MAKER.text + "\n")
    key.chmod(0o600)
    safetensors.numpy.save_file({"up": np.arange(6, dtype=np.float32)}, model)
    done = caveat("receipt", "attach", model, "--receipt", path, "--signing-key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_bundle(model).countersignatures == (said_by(),)


def test_verify_reads_them_by_the_key_of_the_log(places, caveat):
    path = places(RUN, [said_by()])["model"]
    by = ("--key", MAKER.verifier.text, "--log-key", LOG.verifier.text, "--json")
    told = json.loads(caveat("receipt", "verify", path, *by).stdout)
    results = {one["name"]: one["result"] for one in told["checks"]}
    assert (told["ok"], results["countersignature"], results["log"]) == (True, "ok", "not told")
