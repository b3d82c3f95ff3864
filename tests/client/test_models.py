"""A receipt in a model file: attached without harm, and every way to deceive whoever checks it refused."""

import base64
import errno
import hashlib
import json
import os
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from click.testing import CliRunner

from registry import dsse
from registry.cli import cli
from registry.client import attaching, models
from registry.client.bundles import Found
from registry.client.models import read_header, read_model, rewrite
from registry.errors import ModelError, ProofError
from registry.model_checks import Policy, Result, check_model, check_receipt, is_ok
from registry.model_receipt import CARRIERS, MODEL_KEY, RECEIPT_KEY, Binding, receipt_line
from registry.receipt import (
    PAYLOAD_TYPE,
    digest_of,
    sign_receipt,
    timestamp,
)
from registry.safetensors import auto_v2
from tests import runs
from tests.runs import DAY, HOUR, MAKER, NOW, THIEF, TOOL

RUN = replace(runs.RUN, started=timestamp(NOW - DAY - 60), finished=timestamp(NOW - DAY))
KOHYA = {
    "ss_sd_model_name": "base.safetensors",
    "ss_training_started_at": str(NOW - HOUR + 0.5),
    "ss_training_comment": "None",
    "ss_num_train_images": "200",
    "ss_num_reg_images": "0",
    "ss_dataset_dirs": json.dumps({"10_cosy": {"n_repeats": 10, "img_count": 20}}),
    "ss_tag_frequency": json.dumps({"10_cosy": {"ä chair": 20}}),
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.title": "cosy",
}
SIMPLETUNER = {
    "format": "pt",
    "modelspec.sai_model_spec": "1.0.1",
    "modelspec.title": "cosy",
    "modelspec.comment": "Trained on custom dataset v2.1",
}
MODELSPEC = {
    "modelspec.sai_model_spec": "1.0.1",
    "modelspec.architecture": "flux-1-dev/lora",
    "modelspec.implementation": "https://github.com/black-forest-labs/flux",
    "modelspec.title": "cosy",
    "modelspec.author": "Ada",
    "modelspec.date": "2026-11-22",
}
PLAIN = {"format": "pt"}
HEADERS = {"kohya": KOHYA, "simpletuner": SIMPLETUNER, "modelspec": MODELSPEC, "plain": PLAIN, "none": None}
TENSORS = {"up": np.arange(30, dtype=np.float16).reshape(5, 6), "down": np.arange(7, dtype=np.float32)}
POLICY = Policy([MAKER.verifier], NOW)


def receipt_bytes(run=RUN, signer=MAKER):
    return sign_receipt(run, signer).to_json()


def attach(path, receipt, signer, target=None):
    return attaching.attach(path, Found(receipt, (), None), signer, target)


def sha256_of_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: float(NOW))

    def write(metadata=KOHYA, name="lora.safetensors"):
        metadata = metadata and {
            name: value.replace("TENSORS", tensors_sha256()) for name, value in metadata.items()
        }
        safetensors.numpy.save_file(TENSORS, tmp_path / name, metadata)
        return tmp_path / name

    return write


def tensors_sha256():
    file = safetensors.numpy.save(TENSORS)
    return hashlib.sha256(file[8 + int.from_bytes(file[:8], "little") :]).hexdigest()


def loaded(path):
    with safetensors.safe_open(path, "np") as opened:
        return opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


@pytest.mark.parametrize("name", HEADERS)
def test_a_receipt_is_attached_and_nothing_else_changes(model, name):
    path = model(HEADERS[name])
    before, tensors = loaded(path)
    whole = sha256_of_file(path)
    path.chmod(0o640)
    done = attach(path, receipt_bytes(), MAKER)
    after, same = loaded(path)
    for tensor, value in tensors.items():
        np.testing.assert_array_equal(same[tensor], value)
    assert (done.tensors, done.before, done.after) == (tensors_sha256(), whole, sha256_of_file(path))
    assert auto_v2(done.before) == whole[:10].upper() != auto_v2(done.after)
    line = receipt_line(digest_of(sign_receipt(RUN, MAKER).payload))
    comments = {
        "kohya": {"ss_training_comment": line, "modelspec.comment": line},
        "simpletuner": {"modelspec.comment": f"Trained on custom dataset v2.1\n{line}"},
        "modelspec": {"modelspec.comment": line},
    }
    others = {key: value for key, value in after.items() if key not in (RECEIPT_KEY, MODEL_KEY)}
    assert others == {**(before or {}), **comments.get(name, {})}
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert is_ok(done.checks)


def test_attached_again_the_later_receipt_takes_the_place_of_the_earlier(model):
    path = model()
    attach(path, receipt_bytes(), MAKER)
    first = path.read_bytes()
    attach(path, receipt_bytes(), MAKER)
    assert path.read_bytes() == first
    later = replace(RUN, finished=timestamp(NOW - HOUR))
    attach(path, receipt_bytes(later), MAKER)
    metadata, _ = loaded(path)
    assert metadata["ss_training_comment"] == receipt_line(digest_of(later.to_statement()))


def test_a_copy_leaves_the_model_as_it_was(model, tmp_path):
    path = model()
    before = path.read_bytes()
    done = attach(path, receipt_bytes(), MAKER, tmp_path / "copy.safetensors")
    assert path.read_bytes() == before
    assert done.path == tmp_path / "copy.safetensors"
    assert read_model(done.path).tensors == tensors_sha256()


# Whoever tampers is found out, each by a message of their own.


@pytest.fixture
def uploaded(model):
    path = model({**KOHYA, "sshs_model_hash": "TENSORS", "modelspec.hash_sha256": "0xTENSORS"})
    attach(path, receipt_bytes(), MAKER)
    return path


def metadata_with(path, **changes):
    """Write other metadata into a model, as anybody could."""
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    gone = [name for name, value in changed.items() if value is None]

    def edit(metadata, _):
        return {name: value for name, value in {**metadata, **changed}.items() if name not in gone}

    rewrite(path, path, edit)


def wire(path, key):
    return json.loads(read_model(path).metadata[key])


def packed(envelope):
    return json.dumps(envelope, sort_keys=True, separators=(",", ":"))


def turned(path, key):
    """One byte of an envelope's signature turned."""
    envelope = wire(path, key)
    [signature] = envelope["signatures"]
    text = signature["sig"]
    signature["sig"] = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
    metadata_with(path, **{key.replace(".", "__"): packed(envelope)})


def said(path, key, before, after):
    """The payload of an envelope changed in one place, to what would be read."""
    envelope = wire(path, key)
    payload = base64.b64decode(envelope["payload"])
    assert payload.count(before) == 1
    envelope["payload"] = base64.b64encode(payload.replace(before, after)).decode()
    metadata_with(path, **{key.replace(".", "__"): packed(envelope)})


def receipt_of(path, run=RUN, signer=MAKER, key=MAKER):
    """Put another receipt into a model, bound again by whoever holds ``key``."""
    envelope = dsse.sign(PAYLOAD_TYPE, run.to_statement(), [signer])
    binding = Binding(
        maker=key.verifier.text, tool=TOOL, tensors=tensors_sha256(),
        receipt=digest_of(envelope.payload), attached=timestamp(NOW),
    )  # fmt: skip
    metadata_with(
        path,
        caveat__receipt=envelope.to_json().decode().rstrip(),
        caveat__model=dsse.sign(PAYLOAD_TYPE, binding.to_statement(), [key]).to_json().decode().rstrip(),
    )


def binding_of(path, **changes):
    known = {
        "maker": MAKER.verifier.text, "tool": TOOL, "tensors": tensors_sha256(),
        "receipt": digest_of(RUN.to_statement()), "attached": timestamp(NOW),
    }  # fmt: skip
    signer = changes.pop("signer", MAKER)
    binding = Binding(**{**known, **changes})
    envelope = dsse.sign(PAYLOAD_TYPE, binding.to_statement(), [signer])
    metadata_with(path, caveat__model=envelope.to_json().decode().rstrip())


def other_tensors(path):
    model = read_model(path)
    safetensors.numpy.save_file({**TENSORS, "up": TENSORS["up"] + 1}, path, dict(model.metadata))


def swapped(path):
    metadata = read_model(path).metadata
    metadata_with(path, caveat__receipt=metadata[MODEL_KEY], caveat__model=metadata[RECEIPT_KEY])


TAMPERED = {
    "another model's tensors": (other_tensors, "tensor hash", "and these tensors are"),
    "no receipt": (lambda p: metadata_with(p, caveat__receipt=None), "receipt", "no caveat.receipt"),
    "no binding": (lambda p: metadata_with(p, caveat__model=None), "tensor hash", "bound to no model"),
    "a byte of the receipt": (
        lambda p: said(p, RECEIPT_KEY, b'"unknown":20', b'"unknown":21'),
        "receipt", "signature of maker is wrong",
    ),
    "a byte of the receipt that breaks it": (
        lambda p: said(p, RECEIPT_KEY, b'"kept":20', b'"kept":21'), "receipt", "are not 21",
    ),
    "a byte of the binding": (
        lambda p: said(p, MODEL_KEY, b'"version":"0.1.0"', b'"version":"0.1.1"'),
        "tensor hash", "signature of maker is wrong",
    ),
    "a byte of its signature": (
        lambda p: turned(p, RECEIPT_KEY), "receipt", "signature of maker is wrong",
    ),
    "a byte of the binding's signature": (
        lambda p: turned(p, MODEL_KEY), "tensor hash", "signature of maker is wrong",
    ),
    "the two exchanged": (swapped, "receipt", "a statement of 'urn:caveat:model:1'"),
    "not JSON": (lambda p: metadata_with(p, caveat__receipt="{"), "receipt", "not an envelope: not JSON"),
    "an envelope formatted anew": (
        lambda p: metadata_with(p, caveat__receipt=json.dumps(wire(p, RECEIPT_KEY))),
        "receipt", "as it is written",
    ),
    "a member twice": (
        lambda p: metadata_with(p, caveat__receipt='{"payload":"","payload":""}'), "receipt", "stands twice",
    ),
    "no signature": (
        lambda p: metadata_with(p, caveat__receipt=packed({**wire(p, RECEIPT_KEY), "signatures": []})),
        "receipt", "expected 1 to 100",
    ),
    "signed by a thief": (lambda p: receipt_of(p, signer=THIEF), "receipt", "and not by maker"),
    "a thief's own receipt": (
        lambda p: receipt_of(p, replace(RUN, maker=THIEF.verifier.text), THIEF, THIEF),
        "signature", "nobody here vouches",
    ),
    "bound by a thief": (
        lambda p: binding_of(p, maker=THIEF.verifier.text, signer=THIEF), "tensor hash", "and not by maker",
    ),
    "a binding that names another": (
        lambda p: binding_of(p, maker=THIEF.verifier.text), "tensor hash", "it names the key",
    ),
    "a binding of another receipt": (
        lambda p: binding_of(p, receipt="5" * 64), "tensor hash", "it is of the receipt 5555",
    ),
    "a binding of other tensors": (
        lambda p: binding_of(p, tensors="5" * 64), "tensor hash", "the receipt is bound to 5555",
    ),
    "a binding from the future": (
        lambda p: binding_of(p, attached=timestamp(NOW + DAY)), "attached", "from the future",
    ),
    "a receipt from the future": (
        lambda p: receipt_of(p, replace(RUN, finished=timestamp(NOW + DAY))), "age", "from the future",
    ),
    "an old state": (
        lambda p: receipt_of(p, replace(RUN, started=timestamp(0), finished=timestamp(NOW - 91 * DAY))),
        "age", "91 days old; at most 90",
    ),
    "more pictures than were kept": (
        lambda p: metadata_with(p, ss_dataset_dirs='{"10_cosy":{"n_repeats":1,"img_count":21}}'),
        "pictures", "trained on 21, and 20 were kept",
    ),
    "a second folder": (
        lambda p: metadata_with(p, ss_dataset_dirs='{"a":{"img_count":20},"b":{"img_count":1}}'),
        "pictures", "trained on 21, and 20 were kept",
    ),
    "folders that count less than nothing": (
        lambda p: metadata_with(p, ss_dataset_dirs='{"a":{"img_count":20},"b":{"img_count":-1}}'),
        "pictures", "img_count that is none",
    ),
    "folders that count beyond all numbers": (
        lambda p: metadata_with(p, ss_dataset_dirs='{"a":{"img_count":' + "9" * 4300 + "}}"),
        "pictures", "img_count that is none",
    ),
    "folders that are none": (
        lambda p: metadata_with(p, ss_dataset_dirs="[]"), "pictures", "cannot be read",
    ),
    "counts that contradict one another": (
        lambda p: metadata_with(p, ss_num_train_images="19"), "pictures", "ss_num_train_images 19",
    ),
    "a count that is none": (
        lambda p: metadata_with(p, ss_num_train_images="2e1"), "pictures", "is no number",
    ),
    "trained before it was filtered": (
        lambda p: metadata_with(p, ss_training_started_at=str(NOW - 2 * DAY)), "training", "began before",
    ),
    "a beginning that is no time": (
        lambda p: metadata_with(p, ss_training_started_at="inf"), "training", "is no time",
    ),
    "another kohya hash": (
        lambda p: metadata_with(p, sshs_model_hash="0" * 64), "declared hashes", "sshs_model_hash is",
    ),
    "another ModelSpec hash": (
        lambda p: metadata_with(p, modelspec__hash_sha256="0x" + "0" * 64),
        "declared hashes", "modelspec.hash_sha256 is not that",
    ),
}  # fmt: skip


def test_what_was_not_tampered_with_is_ok(uploaded):
    found = read_model(uploaded)
    checks = check_model(found.metadata, found.tensors, POLICY)
    results = {one.name: one.result for one in checks}
    assert results == {
        "receipt": Result.OK, "signature": Result.OK, "age": Result.OK,
        "state of https://r.example": Result.NOT_TOLD, "declared hashes": Result.OK,
        "tensor hash": Result.OK, "training": Result.OK, "pictures": Result.OK,
    }  # fmt: skip
    assert is_ok(checks)


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_out_by_name(uploaded, name):
    tamper, which, message = TAMPERED[name]
    tamper(uploaded)
    found = read_model(uploaded)
    checks = check_model(found.metadata, found.tensors, POLICY)
    assert not is_ok(checks)
    told = {one.name: one for one in checks if one.result is Result.NOT_OK}
    assert which in told, checks
    assert message in told[which].text


def test_by_the_header_alone_the_tensor_hash_is_not_told(uploaded):
    checks = check_model(read_header(uploaded).metadata, None, POLICY)
    told = [one.name for one in checks if one.result is Result.NOT_TOLD]
    assert told == ["state of https://r.example", "declared hashes", "tensor hash"]
    assert is_ok(checks)


COUNTS = {
    "fewer": ({"ss_dataset_dirs": '{"a":{"img_count":3}}'}, Result.OK),
    "none told": ({"ss_dataset_dirs": None, "ss_num_train_images": None}, Result.NOT_TOLD),
    "with repeats alone, few": ({"ss_dataset_dirs": None, "ss_num_train_images": "20"}, Result.OK),
    "with repeats alone, many": ({"ss_dataset_dirs": "None", "ss_num_train_images": "21"}, Result.NOT_TOLD),
}


@pytest.mark.parametrize("name", COUNTS)
def test_what_a_model_does_not_tell_is_not_taken_for_right_or_wrong(uploaded, name):
    changes, expected = COUNTS[name]
    metadata_with(uploaded, **changes)
    found = read_model(uploaded)
    [pictures] = [one for one in check_model(found.metadata, found.tensors, POLICY) if one.name == "pictures"]
    assert pictures.result is expected


def test_nothing_that_was_checked_is_not_ok():
    assert not is_ok([])
    signed, checks = check_receipt(b"", POLICY)
    assert signed is None
    assert not is_ok(checks)


# What is refused before anything is written.


def refused(path, message, receipt=None, signer=MAKER):
    before = path.read_bytes()
    with pytest.raises((ModelError, ProofError), match=message) as raised:
        attach(path, receipt or receipt_bytes(), signer)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return raised.value


DAMAGED = {
    "cut off": (lambda data: data[:-1], "cut off, or still being written"),
    "something appended": (lambda data: data + b"x", "something is appended"),
    "empty": (lambda data: b"", "too short for a safetensors file"),
    "a pickle": (lambda data: b"\x80\x04" + data, "bytes, and [0-9]+ are there"),
    "a header of 100 MB": (lambda data: (10**8 + 1).to_bytes(8, "little") + data[8:], "permits 100,000,000"),
    "no JSON": (lambda data: data[:8] + b"x" + data[9:], "begins with"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_model_that_is_none_is_refused_and_left_as_it_was(model, name):
    damage, message = DAMAGED[name]
    path = model()
    path.write_bytes(damage(path.read_bytes()))
    assert str(path) in refused(path, message).message


def test_a_receipt_of_another_key_is_not_attached(model):
    thief = replace(RUN, maker=THIEF.verifier.text)
    refused(model(), "signing-key|and the key here is", receipt_bytes(thief, THIEF))


def test_a_file_that_grows_while_it_is_read_is_refused(model, monkeypatch):
    path = model()

    def hashed(chunks):
        found = tensor_hash(chunks)
        os.utime(path, ns=(1, 1))
        return found

    tensor_hash = models.tensor_hash
    monkeypatch.setattr(models, "tensor_hash", hashed)
    refused(path, "changed while it was read: it is being written")


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_changes_while_it_is_copied_or_checked_is_refused(model, monkeypatch, times):
    path, calls = model(), []

    def hashed(chunks):
        found = tensor_hash(chunks)
        calls.append(found)
        if len(calls) == times:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
            os.utime(path, ns=(1, 1))
        return found

    tensor_hash = models.tensor_hash
    monkeypatch.setattr(models, "tensor_hash", hashed)
    with pytest.raises(ModelError, match="changed while it was read: it is being written"):
        attach(path, receipt_bytes(), MAKER)
    assert path.read_bytes().endswith(b"x")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_disk_that_gives_back_other_bytes_leaves_the_model_as_it_was(model, monkeypatch):
    path, calls = model(), []

    def hashed(chunks):
        calls.append(tensor_hash(chunks))
        return calls[0] if len(calls) == 1 else "0" * 64

    tensor_hash = models.tensor_hash
    monkeypatch.setattr(models, "tensor_hash", hashed)
    refused(path, "does not hold what was written to it")


def test_a_model_is_read_once_and_what_was_written_once(model, monkeypatch):
    path, calls = model(), []
    tensor_hash = models.tensor_hash
    monkeypatch.setattr(models, "tensor_hash", lambda chunks: calls.append(1) or tensor_hash(chunks))
    attach(path, receipt_bytes(), MAKER)
    assert len(calls) == 2


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_a_disk_that_fails_leaves_the_model_whole(model, monkeypatch, where):
    path = model()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, fail)
    assert "make room" in refused(path, "No space left on device; .* is as it was").hint


def test_a_link_to_a_model_gives_way_and_what_it_named_stays(model, tmp_path):
    blob = model(name="blob")
    before = blob.read_bytes()
    link = tmp_path / "lora.safetensors"
    link.symlink_to(blob)
    attach(link, receipt_bytes(), MAKER)
    assert blob.read_bytes() == before
    assert RECEIPT_KEY in read_header(link).metadata


def test_every_carrier_has_a_place_for_the_line():
    assert set(CARRIERS) == {"kohya", "musubi", "simpletuner", "ai-toolkit", "onetrainer"}
    with_line = {name for name, text in CARRIERS.items() if "{line}" in text}
    assert with_line == set(CARRIERS) - {"onetrainer"}


# The command line.


@pytest.fixture
def maker(tmp_path):
    path = tmp_path / "maker.key"
    path.write_text(MAKER.text + "\n")
    path.chmod(0o600)
    return path


def test_verify_and_show_tell_people(uploaded, invoke, maker, tmp_path):
    done = invoke("receipt", "verify", uploaded, "--key", MAKER.verifier.text)
    assert done.exit_code == 0, done.output
    for word in ("header", "signature", "tensor hash", "not told", "pictures"):
        assert word in done.output
    key = tmp_path / "key.txt"
    key.write_text(MAKER.verifier.text + "\n")
    assert "by maker+" in invoke("receipt", "verify", uploaded, "--key", key).output
    shown = invoke("receipt", "show", uploaded)
    assert shown.exit_code == 0
    assert "Does not show that a model was trained" in re.sub(r"\s+", " ", shown.output)
    told = json.loads(invoke("receipt", "show", uploaded, "--output", "json").output)
    assert told["counts"]["kept"] == 20
    assert told["signed_by"] == MAKER.verifier.text
    carried = {
        trainer: invoke("receipt", "show", uploaded, "--for", trainer).output.strip() for trainer in CARRIERS
    }
    assert carried["simpletuner"] == f'--modelspec_comment "{receipt_line(told["sha256"])}"'


def test_attach_on_the_command_line(model, invoke, maker, tmp_path):
    path = model()
    (tmp_path / "receipt.dsse.json").write_bytes(receipt_bytes())
    words = ("receipt", "attach", path, "--receipt", tmp_path / "receipt.dsse.json", "--signing-key", maker)
    done = invoke(*words, "--out", tmp_path / "out.safetensors")
    assert "AutoV2" in done.output
    assert RECEIPT_KEY in read_header(tmp_path / "out.safetensors").metadata
    assert invoke("receipt", "key", "--signing-key", maker).output.strip() == MAKER.verifier.text


def test_a_model_without_a_receipt_is_told(model, invoke):
    path = model()
    done = invoke("receipt", "verify", path, "--json")
    assert done.exit_code == 1
    wire = json.loads(done.output)
    assert [one["name"] for one in wire["checks"] if one["result"] == "not ok"] == ["receipt"]
    with pytest.raises(ProofError, match="has no receipt in its header"):
        invoke("receipt", "show", path)


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*words):
        monkeypatch.setenv("COLUMNS", "160")
        done = CliRunner().invoke(cli, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run
