"""``/api/v1/receipts/verify``: what a platform is told of a receipt, and of the header of a model."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from flask.testing import FlaskClient

from registry.countersignature import countersign
from registry.dsse import sign
from registry.model_receipt import COUNTERSIGNATURES_KEY as KEY
from registry.model_receipt import MODEL_KEY, RECEIPT_KEY, open_receipt
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.publisher import Publisher
from registry.receipt import PAYLOAD_TYPE, sign_receipt
from registry.safetensors import parse_header, with_metadata
from registry.tickets import Ticket
from tests.api.receipts import ASKING, KOHYA, RUN, Clock, envelope_of, header_of, run_of
from tests.runs import DAY, MAKER, NOW, THIEF

VERIFY = "/api/v1/receipts/verify"
BYTES = "application/octet-stream"
NOT_COUNTERSIGNED = "countersignature: none is here: that a registry was asked only the maker says"
KNOWN = {"key": MAKER.verifier.text}
DRAFT = {"preferences": {"train": "reserved"}, "works": [{"url": "https://ada.test/1.jpg"}]}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW + DAY)


@pytest.fixture
def client(timed_client: FlaskClient) -> FlaskClient:
    return timed_client


@pytest.fixture
def checkpoint(client: FlaskClient, publisher: Publisher, make_key: Callable[..., Any]) -> str:
    """The state of the log after two events; a third and a fourth came later."""
    headers = make_key(("register",)).headers
    for n in range(4):
        assert client.post("/api/v1/reservations", json=DRAFT, headers=headers).status_code == 201
        if n == 1:
            publisher.publish()
            note = publisher.folder.checkpoint()
    publisher.publish()
    return note


def verified(client: FlaskClient, sent: Any, **query: Any) -> dict[str, Any]:
    kind = {"data": sent, "content_type": BYTES} if isinstance(sent, bytes) else {"json": sent}
    answer = client.post(VERIFY, query_string=KNOWN | query, **kind)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def lines(answer: dict[str, Any], result: str) -> list[str]:
    return [f"{one['name']}: {one['text']}" for one in answer["checks"] if one["result"] == result]


def test_a_receipt_that_holds_is_ok(client, checkpoint):
    answer = verified(client, envelope_of(run_of(checkpoint)))
    assert answer["verdict"] == "ok"
    assert (answer["key"], answer["key_known"], answer["tensor_hash"]) == (MAKER.verifier.text, True, None)
    assert lines(answer, "not ok") == []
    assert lines(answer, "not told") == [NOT_COUNTERSIGNED]
    assert [one["name"] for one in answer["checks"]] == [
        "receipt",
        "signature",
        "age",
        "state of log.example",
        "log of log.example",
        "countersignature",
    ]


def test_its_spaces_and_the_order_of_its_members_do_not_matter(client, checkpoint):
    envelope = envelope_of(run_of(checkpoint))
    text = json.dumps(dict(reversed(envelope.items())), indent=3)
    answer = client.post(VERIFY, data=text, content_type="application/json", query_string=KNOWN)
    assert answer.get_json() == verified(client, envelope)


def test_of_a_model_the_header_is_enough_but_for_its_tensors(client, checkpoint):
    header, tensors = header_of(run_of(checkpoint))
    answer = verified(client, header)
    assert (answer["verdict"], answer["tensor_hash"]) == ("not told", tensors)
    assert lines(answer, "not told") == [
        "declared hashes: the tensors were not read",
        f"tensor hash: bound to {tensors}; the tensors were not read",
        NOT_COUNTERSIGNED,
    ]
    answer = verified(client, header, tensor_hash=tensors)
    assert (answer["verdict"], answer["tensor_hash"]) == ("ok", tensors)
    assert "pictures: trained on 20 of 20 kept" in lines(answer, "ok")
    other = verified(client, header, tensor_hash="0" * 64)
    assert other["verdict"] == "not ok"
    assert lines(other, "not ok") == [
        f"tensor hash: the receipt is bound to {tensors}, and these tensors are {'0' * 64}"
    ]


def test_an_unknown_key_is_named_and_never_ok(client, checkpoint):
    for keys in ([], [THIEF.verifier.text]):
        answer = verified(client, envelope_of(run_of(checkpoint)), key=keys)
        assert (answer["verdict"], answer["key"], answer["key_known"]) == (
            "not ok",
            MAKER.verifier.text,
            False,
        )
        assert MAKER.verifier.text in lines(answer, "not ok")[0]


def _resigned(checkpoint, signer, publisher):
    """The receipt of a run, signed by another's key under the maker's name."""
    envelope = envelope_of(run_of(checkpoint))
    other = envelope_of(replace(run_of(checkpoint), maker=THIEF.verifier.text), THIEF)
    return envelope | {"signatures": [envelope["signatures"][0] | {"sig": other["signatures"][0]["sig"]}]}


def _changed(checkpoint, signer, publisher):
    envelope = envelope_of(run_of(checkpoint))
    said = base64.b64decode(envelope["payload"]).replace(b'"samples":30', b'"samples":31')
    return envelope | {"payload": base64.b64encode(said).decode()}


def _counted_otherwise(checkpoint, signer, publisher):
    envelope = envelope_of(run_of(checkpoint))
    said = base64.b64decode(envelope["payload"]).replace(b'"resumed":0', b'"resumed":1')
    return envelope | {"payload": base64.b64encode(said).decode()}


def _forked(checkpoint, signer, publisher):
    note = sign_note(format_checkpoint(Checkpoint("log.example", 2, bytes(32))), [signer])
    return envelope_of(run_of(note))


def _longer(checkpoint, signer, publisher):
    note = sign_note(format_checkpoint(Checkpoint("log.example", 99, bytes(32))), [signer])
    return envelope_of(run_of(note))


def _of_another_key(checkpoint, signer, publisher):
    return envelope_of(run_of(sign_note(checkpoint.split("\n\n")[0] + "\n", [Signer.new("log.example")])))


def _of_another_log(checkpoint, signer, publisher):
    note = sign_note(format_checkpoint(Checkpoint("other.example", 2, bytes(32))), [signer])
    return envelope_of(run_of(note))


TAMPERED = {
    "a byte changed": (_changed, "receipt: counts: 31 samples less 9 removed and 1 set aside are not 20"),
    "a number changed": (_counted_otherwise, "receipt: the signature of maker is wrong"),
    "signed by another": (_resigned, "receipt: the signature of maker is wrong"),
    "a log that forked": (
        _forked,
        "log of log.example: a log that forked: this one never had the state of its checkpoint, of 2 events, "
        "which it signed",
    ),
    "a longer log": (
        _longer,
        "log of log.example: a log that shrank: it signed 99 events, and has published 4; a mirror may be "
        "behind, ask the registry itself",
    ),
    "a checkpoint by another key": (
        _of_another_key,
        "state of log.example: as of event 2; its checkpoint does not hold: not signed by log.example",
    ),
    "a checkpoint of another log": (
        _of_another_log,
        "state of log.example: as of event 2; its checkpoint is of the log other.example",
    ),
    "an event of the future": (
        lambda checkpoint, *_: envelope_of(run_of(checkpoint, as_of_seq=5)),
        "log of log.example: from the future: as of event 5, and this registry has had 4",
    ),
    "a run of the future": (
        lambda checkpoint, *_: envelope_of(run_of(checkpoint, finished="2027-11-22T05:00:00Z")),
        "age: from the future: it says 2027-11-22T05:00:00Z",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_tampered_with_is_found_out(client, checkpoint, signer, publisher, case):
    tamper, said = TAMPERED[case]
    answer = verified(client, tamper(checkpoint, signer, publisher))
    assert answer["verdict"] == "not ok"
    assert said in lines(answer, "not ok")


def _with(header, **metadata):
    changed = {
        **(parse_header(header).metadata or {}),
        **{k.replace("__", "."): v for k, v in metadata.items()},
    }
    return with_metadata(header, {name: value for name, value in changed.items() if value is not None})


TAMPERED_MODELS = {
    "no receipt": ({"caveat__receipt": None}, "receipt: there is none: no caveat.receipt in the header"),
    "bound to nothing": (
        {"caveat__model": None},
        "tensor hash: the receipt is bound to no model: no caveat.model in the header",
    ),
    "a binding that is none": (
        {"caveat__model": "{}"},
        "tensor hash: caveat.model does not hold: an envelope: has no members; "
        "expected payload, payloadType, signatures",
    ),
    "more pictures than were kept": (
        {"ss_dataset_dirs": json.dumps({"1_a": {"img_count": 21}})},
        "pictures: trained on 21, and 20 were kept",
    ),
    "fewer with repeats than without": (
        {"ss_num_train_images": "19"},
        "pictures: ss_dataset_dirs has 20, and ss_num_train_images 19 with repeats",
    ),
    "a count that is no number": (
        {"ss_num_train_images": "1_000"},
        "pictures: ss_num_train_images is no number: '1_000'",
    ),
    "trained before": (
        {"ss_training_started_at": str(NOW - DAY)},
        "training: began before the filter had finished, 2026-11-18T11:06:40Z",
    ),
}


@pytest.mark.parametrize("case", TAMPERED_MODELS)
def test_a_header_that_was_tampered_with_is_found_out(client, checkpoint, case):
    metadata, said = TAMPERED_MODELS[case]
    header, tensors = header_of(run_of(checkpoint))
    answer = verified(client, _with(header, **metadata), tensor_hash=tensors)
    assert answer["verdict"] == "not ok"
    assert said in lines(answer, "not ok")


def test_the_receipt_of_another_model_is_found_out(client, checkpoint):
    header, tensors = header_of(run_of(checkpoint))
    other, _ = header_of(run_of(checkpoint, resumed=1))
    swapped = _with(header, **{"caveat__receipt": parse_header(other).metadata[RECEIPT_KEY]})
    answer = verified(client, swapped, tensor_hash=tensors)
    assert answer["verdict"] == "not ok"
    assert "it is of the receipt" in " ".join(lines(answer, "not ok"))
    assert MODEL_KEY in " ".join(lines(answer, "not ok"))


def countersigned(run, signer, checkpoint, /, **changes):
    """What the header of a model says that the registry said of a run."""
    ticket = Ticket(
        run=ASKING[0], begin=0, end=3, items=30, as_of_seq=2, first=NOW - 50, last=NOW - 10,
        asked=bytes(32), answered=bytes(32),
    )  # fmt: skip
    said, _ = countersign(open_receipt(sign_receipt(run, MAKER).to_json(), []), [ticket], signer, checkpoint)
    envelope = sign(PAYLOAD_TYPE, replace(said, **changes).to_statement(), [signer])
    return rfc8785.dumps([envelope.to_wire()]).decode()


def test_what_the_registry_countersigned_is_read_from_the_header(client, checkpoint, signer):
    run = run_of(checkpoint)
    header, tensors = header_of(run)
    carried = _with(header, **{KEY: countersigned(run, signer, checkpoint)})
    answer = verified(client, carried, tensor_hash=tensors)
    assert answer["verdict"] == "ok"
    [line] = [line for line in lines(answer, "ok") if line.startswith("countersignature")]
    assert "log.example answered 3 requests about 30 items, as of event 2" in line


FORKED = sign_note(format_checkpoint(Checkpoint("log.example", 2, bytes(32))), [Signer.new("log.example")])
CARRIED = {
    "of another receipt": ({"receipt": "5" * 64}, "it is of the receipt 5555"),
    "of another run": ({"run": "5" * 64}, "the receipt does not name the run"),
    "from the future": ({"as_of_seq": 5}, "from the future: as of event 5, and this registry has had 4"),
    "a state that was made up": ({"checkpoint": FORKED}, "made up, or of a log that forked"),
}


@pytest.mark.parametrize("case", CARRIED)
def test_a_countersignature_in_a_header_that_does_not_hold_is_not_ok(client, checkpoint, signer, case):
    changes, said = CARRIED[case]
    run = run_of(checkpoint)
    header, tensors = header_of(run)
    carried = _with(header, **{KEY: countersigned(run, signer, checkpoint, **changes)})
    answer = verified(client, carried, tensor_hash=tensors)
    assert answer["verdict"] == "not ok"
    [line] = [line for line in lines(answer, "not ok") if line.startswith("countersignature")]
    assert said in line


def test_countersignatures_in_a_header_that_are_none_are_not_ok(client, checkpoint):
    header, tensors = header_of(run_of(checkpoint))
    answer = verified(client, _with(header, **{KEY: "[]"}), tensor_hash=tensors)
    assert "countersignature: caveat.countersignatures: expected a list of envelopes" in lines(
        answer, "not ok"
    )


def test_a_state_that_is_too_old_is_not_ok(client, checkpoint, clock):
    clock.seconds = NOW + 91 * DAY
    answer = verified(client, envelope_of(run_of(checkpoint)))
    assert lines(answer, "not ok") == ["age: the state is 91 days old; at most 90 are taken"]
    assert verified(client, envelope_of(run_of(checkpoint)), max_age_days=100)["verdict"] == "ok"


def test_a_run_that_did_not_ask_this_registry_says_so(client, checkpoint):
    run = replace(RUN, registries=(replace(RUN.registries[0], origin=None),))
    answer = verified(client, envelope_of(run))
    assert answer["verdict"] == "ok"
    assert "log: the run did not ask the registry of log.example by the name of its log" in lines(
        answer, "not told"
    )


def test_a_registry_without_a_log_vouches_for_no_state(make_app):
    client = make_app().test_client()
    answer = verified(
        client, envelope_of(run_of("log.example\n2\n" + "A" * 43 + "=\n\n")), max_age_days=999_999
    )
    assert [one["name"] for one in answer["checks"] if one["result"] == "not told"] == [
        "state of log.example",
        "log",
        "countersignature",
    ]


def test_a_log_that_cannot_be_read_is_503_and_no_verdict(client, checkpoint, publisher):
    for path in (publisher.folder.path / "tile").rglob("*"):
        if path.is_file():
            path.unlink()
    answer = client.post(VERIFY, json=envelope_of(run_of(checkpoint)), query_string=KNOWN)
    assert (answer.status_code, answer.get_json()["type"]) == (503, "urn:caveat:problem:log")
    (publisher.folder.path / "checkpoint").write_text("log.example\n")
    answer = client.post(VERIFY, json=envelope_of(run_of(checkpoint)), query_string=KNOWN)
    assert (answer.status_code, answer.get_json()["type"]) == (503, "urn:caveat:problem:log")


HEADER = header_of(RUN)[0]
REFUSED = {
    "nothing": (b"", BYTES, {}, 422, "0 bytes: too short for a safetensors file"),
    "no JSON": (b"\x08" + bytes(7) + b"{not it}", BYTES, {}, 422, "the header is no JSON as it is read here"),
    "doubled members": (
        (26).to_bytes(8, "little") + b'{"__metadata__":{"a":"1","a":"2"}}'[:26],
        BYTES,
        {},
        422,
        "the header is no JSON",
    ),
    "100 MB announced": (
        (100_000_001).to_bytes(8, "little"),
        BYTES,
        {},
        422,
        "the format permits 100,000,000",
    ),
    "more than is taken": (
        (8_388_609).to_bytes(8, "little") + b"{",
        BYTES,
        {},
        413,
        "the header announces 8,388,609 bytes; at most 8,388,608 are read here",
    ),
    "cut off": (HEADER[:-9], BYTES, {}, 422, "bytes, and"),
    "tensors behind it": (HEADER + bytes(4), BYTES, {}, 422, "body: goes on after the header"),
    "a picture": (b"GIF89a..", "image/gif", {}, 415, "expected application/json or application/octet-stream"),
    "a key that is none": (HEADER, BYTES, {"key": "maker"}, 422, "key: not the key of a log"),
    "a key with spaces for +": (
        HEADER,
        BYTES,
        {"key": MAKER.verifier.text.replace("+", " ")},
        422,
        "key: not the key of a log",
    ),
    "too many keys": (HEADER, BYTES, {"key": [MAKER.verifier.text] * 101}, 413, "101 keys; at most 100"),
    "no age": (HEADER, BYTES, {"max_age_days": "0"}, 422, "max_age_days: expected days from 1"),
    "an age without end": (HEADER, BYTES, {"max_age_days": "9" * 9}, 422, "max_age_days: expected days"),
    "a hash that is none": (HEADER, BYTES, {"tensor_hash": "F" * 64}, 422, "tensor_hash: expected 64"),
    "a hash for no model": (
        json.dumps(envelope_of(RUN)).encode(),
        "application/json",
        {"tensor_hash": "0" * 64},
        422,
        "tensor_hash: of a receipt without a model",
    ),
    "no signatures": (
        json.dumps(envelope_of(RUN) | {"signatures": []}).encode(),
        "application/json",
        {},
        422,
        "signatures: expected 1 to 100 of them",
    ),
    "another member": (
        json.dumps(envelope_of(RUN) | {"more": 1}).encode(),
        "application/json",
        {},
        422,
        "an envelope: has more, payload",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(client, case):
    data, kind, query, status, said = REFUSED[case]
    answer = client.post(VERIFY, data=data, content_type=kind, query_string=query)
    assert answer.status_code == status, answer.text
    assert said in answer.get_json()["detail"]


def test_no_count_of_a_header_takes_a_receipt_for_another_s(client, checkpoint):
    """Without the two envelopes nothing of a model is ok, whatever else it says."""
    header, tensors = header_of(run_of(checkpoint), KOHYA | {"modelspec.title": "x"})
    bare = _with(header, caveat__receipt=None, caveat__model=None)
    assert verified(client, bare, tensor_hash=tensors)["verdict"] == "not ok"


def test_the_bound_on_headers_is_the_operator_s(make_app):
    client = make_app(max_header_bytes=len(HEADER) - 9).test_client()
    assert client.post(VERIFY, data=HEADER, content_type=BYTES).status_code == 413
    client = make_app(max_header_bytes=len(HEADER) - 8).test_client()
    assert client.post(VERIFY, data=HEADER, content_type=BYTES).status_code == 200
