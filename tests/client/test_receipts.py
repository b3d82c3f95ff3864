"""The receipts that filter runs leave: every kind of dataset, and what is held against them afterwards."""

import base64
import hashlib
import json
import os
import re
import stat
import subprocess
from collections import Counter
from dataclasses import replace

import numpy as np
import pymerkle
import pytest
import safetensors.numpy

from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.granted import HeldGrant, HeldGrants
from registry.client.inplace import filter_in_place
from registry.client.own import OwnWorks
from registry.client.private import PrivateRegistry
from registry.client.receipts import RECEIPT, check_decisions, check_output, find_receipt
from registry.client.signing import load_key, own_key
from registry.errors import ProofError, SettingsError
from registry.model_checks import Policy, Result, check_receipt, is_ok
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.preference import Mode

from .conftest import DOMAIN, unknown_to_all
from .test_grants import GRANT
from .test_shards import tar

SIGNER = Signer("maker", bytes(range(32)))
OPTIONS = Options(workers=1, signer=SIGNER)
FOLDERS = ["folder", "kohya", "csv_metadata"]
TABLES = ["table_csv", "table_parquet"]


def opened(path, now=None):
    """The receipt of a run, whose signature is right, and its account."""
    data, account = find_receipt(path)
    signed, checks = check_receipt(data, Policy([SIGNER.verifier], now or 2**33))
    assert signed is not None, checks
    return signed.receipt, account


def held(path):
    """Everything that can be held against the receipt of a run, here."""
    receipt, account = opened(path)
    return [check_decisions(receipt, account), check_output(receipt, path, account)]


@pytest.fixture(scope="module", params=[*FOLDERS, *TABLES])
def run(request, run_of, live, tmp_path_factory):
    """A run whose dataset was filtered before without a receipt."""
    before = run_of(request.param)
    target = tmp_path_factory.mktemp("receipt") / before.target.name
    with live.client() as client:
        return filter_dataset(before.source, target, [client], options=OPTIONS), before.summary


def test_a_receipt_says_what_the_run_did(run):
    summary, before = run
    receipt, account = opened(summary.target)
    assert [one.result for one in held(summary.target)] == [Result.OK, Result.OK]
    counts = receipt.counts
    assert (counts.samples, counts.kept, counts.errors) == (before.samples, before.kept, before.errors)
    assert dict(counts.removed_by) == {name: n for name, n in before.reasons.items() if n}
    [asked] = receipt.registries
    is_table = summary.format in ("csv", "tsv", "parquet")
    assert {asked.url: asked.as_of_seq} == summary.as_of_seq
    assert asked.asked == ("marks" if is_table else "full")
    assert receipt.configuration.format == summary.format
    assert receipt.decisions.leaves == ("files" if is_table else "lines")
    names = {RECEIPT, "input.sha256", "output.sha256", "report.html"}
    assert names <= {path.name for path in account.iterdir()}


def test_a_receipt_names_no_file_and_no_place(run):
    summary, _ = run
    text = (summary.account / RECEIPT).read_bytes()
    # The signature is left out: any two letters may stand in it by chance.
    keyids = [one["keyid"].encode() for one in json.loads(text)["signatures"]]
    statement = b"".join([find_payload(text), *keyids])
    names = [line.partition("  ")[2] for line in (summary.account / "input.sha256").read_text().splitlines()]
    assert names
    for told in (*names, str(summary.source.parent), os.uname().nodename):
        assert told.encode() not in statement


def find_payload(text):
    return base64.b64decode(json.loads(text)["payload"])


def test_sha256sum_checks_the_output_by_the_list(run):
    summary, _ = run
    folder = summary.target if summary.target.is_dir() else summary.target.parent
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", summary.account / "output.sha256"], cwd=folder, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_pymerkle_has_the_root_of_the_decisions(run):
    summary, _ = run
    receipt, account = opened(summary.target)
    if receipt.decisions.leaves == "lines":
        leaves = (account / "decisions.jsonl").read_bytes().splitlines()
    else:
        names = ["decisions/00000.keep", "decisions/00000.parquet"]
        done = subprocess.run(["sha256sum", *names], cwd=account, capture_output=True, check=True)
        leaves = done.stdout.splitlines()
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    assert (receipt.decisions.count, receipt.decisions.root) == (len(leaves), tree.get_root().hex())


# Other kinds of runs.


def test_shards_that_were_resumed_have_one_receipt_over_all_of_them(live, tmp_path, kit, copies):
    files = {
        "0.tar": tar([(f"0{n}.png", kit.free(n)) for n in range(3)]),
        "1.tar": tar([("10.png", kit.free(10)), ("11.jpg", copies["jpeg"])]),
        "2.tar": b"damaged",
        "README.md": "about",
    }
    source, target = kit.plant(tmp_path / "set", files), tmp_path / "clean"
    with live.client() as client:
        shared = filter_dataset(source, target, [client], options=replace(OPTIONS, share=(1, 3)))
        summary = filter_dataset(source, target, [client], options=OPTIONS)
    assert shared.target is None
    assert not (tmp_path / "clean.caveat" / "shards" / RECEIPT).exists()
    receipt, _ = opened(target)
    assert is_ok(held(target))
    assert (receipt.resumed, receipt.counts.samples, receipt.counts.kept) == (1, summary.samples, 4)
    assert receipt.counts.errors == 1
    assert receipt.input.files == 4


def test_tables_in_a_folder_have_one_receipt(live, tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    for number in range(2):
        rows = [f"https://{DOMAIN if n % 3 == 0 else 'free.example'}/{number}/{n}.jpg" for n in range(9)]
        (source / f"{number}.csv").write_text("url\n" + "".join(f"{row}\n" for row in [*rows, "nothing"]))
    with live.client() as client:
        filter_dataset(source, tmp_path / "clean", [client], options=OPTIONS)
    receipt, account = opened(tmp_path / "clean")
    assert is_ok(held(tmp_path / "clean"))
    assert (receipt.decisions.leaves, receipt.decisions.count) == ("files", 4)
    assert Counter(receipt.counts.status) == {"ok": 6, "malformed": 2}
    assert Counter(receipt.counts.preference) == {"reserved": 6, "none": 2}
    (account / "decisions" / "0.csv.keep").write_bytes(b"\xff\xff")
    assert [one.result for one in held(tmp_path / "clean")] == [Result.NOT_OK, Result.OK]


def test_settings_of_a_trainer_are_digested_with_the_folders_that_they_name(live, tmp_path, kit):
    kit.plant(tmp_path / "one", {"a.png": kit.free(1), "a.txt": "A"})
    kit.plant(tmp_path / "two", {"b.png": kit.free(2)})
    folders = "".join(
        f'[[datasets.subsets]]\nimage_dir = "{tmp_path / name}"\nnum_repeats = 1\n' for name in ("one", "two")
    )
    settings = tmp_path / "train.toml"
    settings.write_text(f"[[datasets]]\nresolution = 512\n{folders}")
    with live.client() as client:
        filter_dataset(settings, tmp_path / "clean", [client], options=OPTIONS)
    receipt, account = opened(tmp_path / "clean")
    assert receipt.input.files == 3
    assert "one/a.png" in (account / "input.sha256").read_text()
    assert is_ok(held(tmp_path / "clean"))


def test_how_a_run_was_done_is_in_its_receipt(live, tmp_path):
    own = OwnWorks(sha256s=frozenset({bytes(32)}))
    source = tmp_path / "set.csv"
    source.write_text(f"url\nhttps://free.example/1\nhttps://{DOMAIN}/2\n")
    rules = Rules(
        mode=Mode.RESEARCH_ART3, organisation="An\tExample", purpose="a study", met=frozenset({"x"}), own=own
    )
    with live.client() as client:
        registries = [PrivateRegistry(client)]
        filter_dataset(source, tmp_path / "clean.csv", registries, rules=rules, options=OPTIONS)
    receipt, _ = opened(tmp_path / "clean.csv")
    how = receipt.configuration
    assert (how.mode, how.organisation, how.purpose) == ("research-art3", "An Example", "a study")
    assert (how.own_works, how.own_works_count, how.licences) == (own.digest, 1, ("x",))
    assert receipt.registries[0].asked == "private"


LOG = Signer("log.example", bytes(range(1, 33)))
NOTE = sign_note(format_checkpoint(Checkpoint("log.example", 7, bytes(32))), [LOG])
CHECKPOINTS = {
    "signed": (NOTE.encode(), ("log.example", NOTE)),
    "no checkpoint": (b"<html>welcome</html>", (None, None)),
    "no text": (b"\xff\n\n", (None, None)),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_signed_state_of_a_log_and_the_grants_are_in_the_receipt(fake, kit, tmp_path, name):
    served, expected = CHECKPOINTS[name]
    registry = fake(lambda body: unknown_to_all(body) if "items" in body else (200, served, {}))
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    client = RegistryClient(registry.url.replace("://", "://me:secret@"), timeout=5)
    rules = Rules(grants=HeldGrants.of([HeldGrant(GRANT, (client.url,))]))
    with client:
        filter_dataset(source, tmp_path / "clean", [client], rules=rules, options=OPTIONS)
    receipt, _ = opened(tmp_path / "clean")
    assert receipt.configuration.grants == (hashlib.sha256(GRANT.id.encode()).hexdigest(),)
    assert receipt.counts.granted == 0
    [asked] = receipt.registries
    assert (asked.origin, asked.checkpoint) == expected
    assert asked.url == registry.url
    states = {
        key: next(one for one in check_receipt_by(tmp_path / "clean", key) if one.name.startswith("state"))
        for key in (None, LOG, Signer("log.example", bytes(32)))
    }
    told = [one.result for one in states.values()]
    not_told = Result.NOT_TOLD
    assert told == ([not_told, Result.OK, Result.NOT_OK] if expected[0] else [not_told] * 3)


def check_receipt_by(path, log):
    keys = [] if log is None else [log.verifier]
    return check_receipt(find_receipt(path)[0], Policy([SIGNER.verifier], 2**33, keys))[1]


def test_no_receipt_without_an_output(live, tmp_path, kit, copies):
    source = kit.plant(tmp_path / "set", {"a.jpg": copies["same"]})
    with live.client() as client:
        summary = filter_dataset(source, tmp_path / "clean", [client], options=OPTIONS)
        filter_dataset(source, tmp_path / "dry", [client], options=replace(OPTIONS, dry_run=True))
    assert summary.account is not None
    assert not (summary.account / RECEIPT).exists()
    assert not (tmp_path / "dry.caveat").exists()


def test_in_place_the_receipt_has_the_folder_before_and_after(live, tmp_path, kit, copies):
    files = {"a.png": kit.free(1), "a.txt": "A", "b.jpg": copies["same"], "b.txt": "B", ".hidden": "H"}
    source = kit.plant(tmp_path / "set", files)
    with live.client() as client:
        filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    receipt, account = opened(source)
    assert (receipt.input.files, receipt.output.files, receipt.counts.removed) == (4, 2, 1)
    assert is_ok(held(source))
    assert "b.jpg" in (account / "input.sha256").read_text()


def test_a_run_in_place_that_was_cut_short_is_finished_with_its_receipt(
    live, tmp_path, kit, copies, monkeypatch
):
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.jpg": copies["same"]})
    with live.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr("registry.client.moving.Journal.finish", _stop)
            with pytest.raises(KeyboardInterrupt):
                filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
        filter_in_place(source, tmp_path / "away", [client], options=OPTIONS)
    receipt, _ = opened(source)
    assert (receipt.input.files, receipt.output.files) == (2, 1)
    assert is_ok(held(source))


def _stop(self):
    raise KeyboardInterrupt


# What is held against it.


@pytest.fixture
def filtered(live, tmp_path, kit, copies):
    files = {"10_cosy/a.png": kit.free(1), "10_cosy/a.txt": "A", "10_cosy/b.jpg": copies["same"]}
    with live.client() as client:
        source = kit.plant(tmp_path / "set", files)
        filter_dataset(source, tmp_path / "clean", [client], options=OPTIONS)
    return tmp_path / "clean"


CHANGES = {
    "a file changed": (lambda out: (out / "10_cosy/a.txt").write_text("B"), r"1 changed \(10_cosy/a\.txt\)"),
    "a file gone": (lambda out: (out / "10_cosy/a.txt").unlink(), r"1 missing \(10_cosy/a\.txt\)"),
    "a file more": (lambda out: (out / "10_cosy/z.npz").write_text("z"), r"1 added \(10_cosy/z\.npz\)"),
    "the removed one put back": (
        lambda out: (out / "10_cosy/b.jpg").write_bytes((out.parent / "set/10_cosy/b.jpg").read_bytes()),
        r"1 added \(10_cosy/b\.jpg\)",
    ),
    "a file renamed": (
        lambda out: (out / "10_cosy/a.txt").rename(out / "10_cosy/c.txt"),
        r"1 missing .* 1 added",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_output_that_is_another_is_told_file_by_file(filtered, name):
    change, message = CHANGES[name]
    change(filtered)
    [_, output] = held(filtered)
    assert output.result is Result.NOT_OK
    assert re.search(message, output.text), output.text


def test_an_output_without_its_account_is_held_by_its_digest(filtered, tmp_path):
    receipt, _ = opened(filtered)
    assert check_output(receipt, filtered, None).result is Result.OK
    (filtered / "more.txt").write_text("x")
    told = check_output(receipt, filtered, None)
    assert (told.result, "its digest is" in told.text) == (Result.NOT_OK, True)
    assert check_output(receipt, tmp_path / "nowhere", None).result is Result.NOT_OK


def test_decisions_that_are_others_are_told(filtered):
    receipt, account = opened(filtered)
    path = account / "decisions.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"action":"remove"', b'"action":"keep"', 1))
    assert check_decisions(receipt, account).result is Result.NOT_OK
    path.unlink()
    assert check_decisions(receipt, account).result is Result.NOT_TOLD


def test_an_account_without_a_receipt_is_named(tmp_path):
    with pytest.raises(ProofError, match="no receipt at"):
        find_receipt(tmp_path)


# The key.


def test_a_key_is_made_once_and_is_for_its_owner_alone(tmp_path):
    folder = tmp_path / "config" / "caveat"
    made = own_key(folder)
    assert own_key(folder) == made
    assert stat.S_IMODE((folder / "maker.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["maker.key"]


KEYS = {
    "readable by all": (lambda path: path.chmod(0o644), "others may read"),
    "damaged": (lambda path: path.write_text(path.read_text()[:-9]), "no signing key, or a damaged one"),
    "empty": (lambda path: path.write_text(""), "no signing key"),
    "not text": (lambda path: path.write_bytes(b"\xff"), "no signing key"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    "gone": (lambda path: path.unlink(), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_cannot_be_used_is_refused_by_name(tmp_path, name):
    damage, message = KEYS[name]
    own_key(tmp_path)
    damage(tmp_path / "maker.key")
    with pytest.raises(SettingsError, match=message):
        load_key(tmp_path / "maker.key")


def test_where_no_key_can_be_kept_the_error_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="no key can be kept") as raised:
        own_key(tmp_path / "file" / "caveat")
    assert "--signing-key" in raised.value.hint


# The whole way, as people go it.


def test_from_the_filter_to_a_platform_that_has_the_public_key_alone(
    caveat, started, live, tmp_path, kit, copies
):
    kit.plant(
        tmp_path / "set",
        {**{f"10_cosy/{n}.png": kit.free(n) for n in range(3)}, "10_cosy/hers.jpg": copies["jpeg"]},
    )
    at = ("--registry", live.url, "--key", live.keys["maker"])
    run = caveat("filter", "set", "clean", *at)
    assert run.returncode == 0
    assert re.search(r"^receipt clean\.caveat/receipt\.dsse\.json$", run.stdout, re.MULTILINE), run.stdout
    key = caveat("receipt", "key").stdout.strip()
    counts = {"10_cosy": {"n_repeats": 10, "img_count": 3}}
    metadata = {"ss_num_train_images": "30", "ss_dataset_dirs": json.dumps(counts)}
    safetensors.numpy.save_file({"w": np.arange(4.0)}, tmp_path / "lora.safetensors", metadata)
    line = caveat("receipt", "show", "clean", "--for", "kohya").stdout
    assert line.startswith('--training_comment "caveat receipt sha256:')
    attached = caveat("receipt", "attach", "lora.safetensors", "--receipt", "clean", "--output", "json")
    told = json.loads(attached.stdout)
    assert told["auto_v2"] != told["auto_v2_before"]
    # Another machine: the model, and the key.
    platform = tmp_path / "platform"
    platform.mkdir()
    (tmp_path / "lora.safetensors").rename(platform / "lora.safetensors")
    verify = ("receipt", "verify", platform / "lora.safetensors", "--json")
    known = started(*verify, "--key", key, env={"HOME": str(platform)})
    wire = json.loads(known.stdout)
    assert (known.returncode, wire["ok"]) == (0, True), wire
    results = {one["name"]: one["result"] for one in wire["checks"]}
    assert results["signature"] == results["tensor hash"] == results["pictures"] == "ok"
    unknown = started(*verify, env={"HOME": str(platform)})
    wire = json.loads(unknown.stdout)
    assert (unknown.returncode, wire["ok"]) == (1, False)
    assert [one["name"] for one in wire["checks"] if one["result"] == "not ok"] == ["signature"]
    assert [path.name for path in platform.iterdir()] == ["lora.safetensors"]
