"""Folders of models signed as OpenSSF's model-signing does, which verifies them here as a stranger would."""

import base64
import json
import os
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from model_signing._cli import main

from registry.client import folders
from registry.client.bundles import FOLDER_BUNDLE, Found, find_bundle
from registry.client.folders import BINDING, SIGNATURE, attach_folder
from registry.client.model_key import PRIVATE, load_public, own_model_key, private_at
from registry.client.verifying import Against, verify_at
from registry.errors import ModelError, ProofError, SettingsError
from registry.model_checks import Policy, Result, is_ok
from registry.model_receipt import open_receipt
from registry.receipt import sign_receipt, timestamp
from registry.receipt_checks import Registries
from tests import runs
from tests.runs import DAY, MAKER, NOW, THIEF

RUN = replace(runs.RUN, started=timestamp(NOW - DAY - 60), finished=timestamp(NOW - DAY))
FOUND = Found(sign_receipt(RUN, MAKER).to_json(), (), None)
THEIRS = replace(RUN, maker=THIEF.verifier.text)


@pytest.fixture
def key(tmp_path):
    return own_model_key(tmp_path / "settings")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model of several files, as diffusers lays them out."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    root = tmp_path / "my-model"
    (root / "unet").mkdir(parents=True)
    safetensors.numpy.save_file({"up": np.arange(6, dtype=np.float32)}, root / "unet" / "model.safetensors")
    (root / "model_index.json").write_text("{}")
    (root / "README.md").write_text("A model.")
    return root


@pytest.fixture
def signed(folder, key):
    attach_folder(folder, FOUND, MAKER, key)
    return folder


def verified(folder, *keys, known=(MAKER,)):
    policy = Policy([one.verifier for one in known], NOW)
    return verify_at(folder, Against(policy, Registries(), model_keys=keys)).checks


def stranger(key, folder):
    """Verify by the library's own command."""
    public = folder.with_name("public.pem")
    public.write_bytes(key.pem)
    words = ["verify", "key", "--public_key", public, "--signature", folder / SIGNATURE, folder]
    return CliRunner().invoke(main, list(map(str, words)))


def public(key):
    """The key as whoever is given it has it."""
    path = key.path.with_name(f"{key.path.stem}.pub")
    path.write_bytes(key.pem)
    return load_public(path)


def test_a_folder_is_signed_with_its_receipt_and_strangers_can_verify_it(signed, key):
    assert {one.name for one in signed.iterdir()} == {
        "unet", "model_index.json", "README.md", FOLDER_BUNDLE, BINDING, SIGNATURE,
    }  # fmt: skip
    done = stranger(key, signed)
    assert (done.exit_code, done.output) == (0, "Verification succeeded\n")
    checks = verified(signed, key)
    assert is_ok(checks)
    results = {one.name: one.result for one in checks}
    assert results["model signature"] is results["model key"] is results["signature"] is Result.OK
    assert find_bundle(signed).receipt == FOUND.receipt
    (signed / "unet" / "model.safetensors").write_bytes(b"x")
    assert stranger(key, signed).exit_code == 1


def test_it_can_be_moved_and_renamed_and_signed_again(signed, key):
    moved = signed.rename(signed.with_name("elsewhere"))
    assert is_ok(verified(moved, key))
    (moved / "README.md").write_text("A better card.")
    assert not is_ok(verified(moved, key))
    attach_folder(moved, FOUND, MAKER, key)
    assert is_ok(verified(moved, key))


def signature(folder):
    return json.loads((folder / SIGNATURE).read_text())


def resigned(folder, key, **ignored):
    """Sign a folder by the library itself."""
    library = folders.model_signing()
    hashing = library.hashing.Config().set_ignored_paths(paths=[SIGNATURE, *ignored.get("paths", [])])
    config = library.signing.Config().set_hashing_config(hashing)
    config.use_elliptic_key_signer(private_key=key.path).sign(folder, folder / SIGNATURE)


def key_of_thief(folder):
    return own_model_key(folder.with_name("thief"))


def said_otherwise(folder, before, after):
    wire = signature(folder)
    payload = base64.b64decode(wire["dsseEnvelope"]["payload"])
    assert before in payload
    wire["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(before, after)).decode()
    (folder / SIGNATURE).write_text(json.dumps(wire))


def without_key(folder):
    wire = signature(folder)
    wire["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}
    (folder / SIGNATURE).write_text(json.dumps(wire))


def bound_to_another(folder, key):
    """The thief binds the maker's receipt to a key of theirs, in a folder that they sign."""
    other = key_of_thief(folder)
    (folder / SIGNATURE).unlink()
    resigned(folder, other)
    return other


def by_thief(folder, key):
    (folder / SIGNATURE).unlink()
    attach_folder(folder, Found(sign_receipt(THEIRS, THIEF).to_json(), (), None), THIEF, key)
    (folder / FOLDER_BUNDLE).write_bytes(FOUND.bundle.to_json())
    resigned(folder, key)


TAMPERED = {
    "a weight": (
        lambda f, k: (f / "unet/model.safetensors").write_bytes(b"x"),
        "model signature", "Hash mismatch for 'unet/model.safetensors'",
    ),
    "a file more": (
        lambda f, k: (f / "unet/evil.bin").write_bytes(b"x"),
        "model signature", "Extra files found in model 'my-model': unet/evil.bin",
    ),
    "a hidden file more": (
        lambda f, k: (f / ".evil").write_bytes(b"x"), "model signature", "Extra files found",
    ),
    "a file less": (
        lambda f, k: (f / "README.md").unlink(), "model signature", "Missing files in model",
    ),
    "a link": (
        lambda f, k: (f / "link").symlink_to("/etc/hostname"), "model signature", "link",
    ),
    "no signature": (
        lambda f, k: (f / SIGNATURE).unlink(), "model signature", "no model.sig in the folder",
    ),
    "a signature that is none": (
        lambda f, k: (f / SIGNATURE).write_text("{"), "model signature", "is no signature of a folder",
    ),
    "a signature that says something else": (
        lambda f, k: said_otherwise(f, b'"name": "README.md"', b'"name": "README.MD"'),
        "model signature", "its signature is wrong",
    ),
    "a signature of another kind": (
        lambda f, k: without_key(f), "model signature", "is no signature of a folder by a key",
    ),
    "a model that is left out": (
        lambda f, k: resigned(f, k, paths=["unet"]),
        "model signature", "leaves out unet, so anybody can change that",
    ),
    "another receipt": (
        lambda f, k: (f / FOLDER_BUNDLE).write_bytes(
            Found(sign_receipt(replace(RUN, resumed=1), MAKER).to_json(), (), None).bundle.to_json()
        ),
        "model signature", "Hash mismatch for 'caveat.receipt.json'",
    ),
    "a receipt of another run, signed again": (
        lambda f, k: (
            (f / FOLDER_BUNDLE).write_bytes(
                Found(sign_receipt(replace(RUN, resumed=1), MAKER).to_json(), (), None).bundle.to_json()
            ),
            resigned(f, k),
        ),
        "model key", "it is of the receipt",
    ),
    "bound to nothing, signed again": (
        lambda f, k: ((f / BINDING).unlink(), resigned(f, k)), "model key", "bound to no key",
    ),
    "bound by a thief": (by_thief, "model key", "and not by maker"),
    "from the future": (
        lambda f, k: (
            (f / BINDING).write_bytes(
                folders.bind_folder(
                    open_receipt(FOUND.receipt, [MAKER.verifier]), k.sha256, MAKER,
                    folders.this_tool(), timestamp(NOW + DAY),
                ).to_json()
            ),
            resigned(f, k),
        ),
        "model key", "from the future",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_found_out_by_name(signed, key, case):
    tamper, which, message = TAMPERED[case]
    tamper(signed, key)
    found = {one.name: one.text for one in verified(signed, key) if one.result is Result.NOT_OK}
    assert message in found.get(which, ""), found
    assert "Digest(" not in found.get(which, "")


def test_a_key_that_is_not_known_is_never_ok(signed, key):
    other = key_of_thief(signed)
    for keys in ([], [other]):
        [one] = [one for one in verified(signed, *keys) if one.result is Result.NOT_OK]
        assert (one.name, key.sha256 in one.text, "--model-key" in one.text) == (
            "model signature", True, True,
        )  # fmt: skip
    assert is_ok(verified(signed, other, public(key)))


def test_a_thief_whose_key_is_known_cannot_use_the_receipt_of_another(signed, key):
    other = bound_to_another(signed, key)
    found = {one.name: one.text for one in verified(signed, key, other) if one.result is Result.NOT_OK}
    assert "the receipt is bound to the key" in found["model key"]


# What is refused before anything changes.


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_another_signed_is_not_signed_over(folder, key):
    resigned(folder, key_of_thief(folder))
    before = tree(folder)
    with pytest.raises(ModelError, match=r"model\.sig is not by the key"):
        attach_folder(folder, FOUND, MAKER, key)
    assert tree(folder) == before


def test_a_folder_without_a_model_is_not_signed(tmp_path, key):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="no file of a model"):
        attach_folder(empty, FOUND, MAKER, key)
    assert list(empty.iterdir()) == []


def test_a_folder_with_links_is_not_signed_and_stays_as_it_was(folder, key):
    (folder / "link").symlink_to(folder / "README.md")
    before = tree(folder)
    with pytest.raises(ModelError, match="link") as raised:
        attach_folder(folder, FOUND, MAKER, key)
    assert raised.value.hint == "Put the files themselves there: links are not signed."
    assert tree(folder) == before


def test_a_signature_that_cannot_be_made_leaves_the_one_before(signed, key, monkeypatch):
    before = tree(signed)
    monkeypatch.setattr(folders, "this_tool", lambda: replace(runs.TOOL, version="9"))
    library = folders.model_signing()
    monkeypatch.setattr(library.signing.Config, "sign", lambda *_: 1 / 0)
    with pytest.raises(ModelError, match="division by zero"):
        attach_folder(signed, FOUND, MAKER, key)
    assert tree(signed) == before


def test_a_receipt_of_another_key_is_not_attached(folder, key):
    with pytest.raises(ProofError, match="and the key here is"):
        attach_folder(folder, FOUND, THIEF, key)
    assert SIGNATURE not in os.listdir(folder)


def test_without_the_library_nothing_is_signed_and_nothing_is_taken_for_right(signed, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    for act in (lambda: attach_folder(signed, FOUND, MAKER, key), lambda: verified(signed, key)):
        with pytest.raises(SettingsError, match="model-signing, which is not installed") as raised:
            act()
        assert raised.value.hint == "pip install 'caveat-registry[model-signing]'"


# Keys.


def test_the_key_is_made_once_for_its_owner_alone(tmp_path):
    key = own_model_key(tmp_path / "settings")
    assert key == own_model_key(tmp_path / "settings") == private_at(tmp_path / "settings" / PRIVATE)
    assert (tmp_path / "settings" / PRIVATE).stat().st_mode & 0o777 == 0o600
    assert public(key).sha256 == key.sha256
    assert isinstance(serialization.load_pem_public_key(key.pem).curve, ec.SECP256R1)


def pem(key, password=None):
    encryption = serialization.BestAvailableEncryption(b"x") if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


BAD_KEYS = {
    "another kind": (pem(ed25519.Ed25519PrivateKey.generate()), 0o600, "a key of another kind"),
    "another curve": (pem(ec.generate_private_key(ec.SECP256K1())), 0o600, "a key of another kind"),
    "a password": (pem(ec.generate_private_key(ec.SECP256R1()), "x"), 0o600, "no private key in PEM"),
    "no key": (b"key", 0o600, "no private key in PEM"),
    "for all to read": (pem(ec.generate_private_key(ec.SECP256R1())), 0o644, "others may read"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_key_that_cannot_be_used_is_refused_by_name(tmp_path, case):
    data, mode, message = BAD_KEYS[case]
    (tmp_path / "k.pem").write_bytes(data)
    (tmp_path / "k.pem").chmod(mode)
    with pytest.raises(SettingsError, match=message):
        private_at(tmp_path / "k.pem")


def test_a_public_key_that_is_none_is_refused(tmp_path):
    (tmp_path / "k.pub").write_bytes(b"maker+1+2")
    with pytest.raises(SettingsError, match="no public key in PEM"):
        load_public(tmp_path / "k.pub")


def test_keys_of_other_programs_are_taken(folder, tmp_path):
    (tmp_path / "other.pem").write_bytes(pem(ec.generate_private_key(ec.SECP384R1())))
    (tmp_path / "other.pem").chmod(0o600)
    key = private_at(tmp_path / "other.pem")
    attach_folder(folder, FOUND, MAKER, key)
    assert stranger(key, folder).exit_code == 0
    assert is_ok(verified(folder, public(key)))


# The command line.


def test_attach_and_verify_on_the_command_line(folder, caveat, tmp_path):
    (tmp_path / "receipt.dsse.json").write_bytes(FOUND.receipt)
    (tmp_path / "maker.key").write_text(MAKER.text + "\n")
    (tmp_path / "maker.key").chmod(0o600)
    words = ("receipt", "attach", folder, "--receipt", tmp_path / "receipt.dsse.json")
    done = caveat(*words, "--signing-key", tmp_path / "maker.key")
    assert done.returncode == 0, done.stdout + done.stderr
    public = caveat("receipt", "key", "--model").stdout
    assert public.startswith("-----BEGIN PUBLIC KEY-----\n")
    (tmp_path / "ada.pub").write_text(public)
    elsewhere = {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}
    by = ("--key", MAKER.verifier.text)
    alone = caveat("receipt", "verify", folder, *by, env=elsewhere)
    assert (alone.returncode, "is not known here" in alone.stdout) == (1, True)
    by = (*by, "--model-key", tmp_path / "ada.pub", "--json")
    done = caveat("receipt", "verify", folder, *by, env=elsewhere)
    told = json.loads(done.stdout)
    assert (told["ok"], told["sha256"]) == (True, open_receipt(FOUND.receipt, []).sha256), told
    assert caveat("receipt", "show", folder).returncode == 0
    refused = caveat("receipt", "verify", tmp_path / "receipt.dsse.json", *by, env=elsewhere)
    assert (refused.returncode, "--model-key is for folders" in refused.stderr) == (3, True)
    refused = caveat(*words, "--out", tmp_path / "x", "--signing-key", tmp_path / "maker.key")
    assert (refused.returncode, "--out is for files" in refused.stderr) == (3, True)
