"""Receipts held against the logs of registries that are served: as they are, forked, behind, or out of reach.

The whole way too: a set is filtered, a model made, the receipt attached, and all of it verified by somebody
who has no more than the public keys.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from api.keys import create_key
from registry.client import Options, RegistryClient, filter_dataset
from registry.client.countersigning import BUNDLE
from registry.client.log_memory import LogMemory
from registry.client.verifying import Against, ask_logs, verify_at
from registry.log_folder import LogFolder
from registry.migrations import migrate
from registry.model_checks import Policy, Result
from registry.model_receipt import COUNTERSIGNATURES_KEY
from registry.note import Signer
from registry.receipt_checks import Registries
from registry.registrar import Caller
from registry.store import Store
from registry.store import engine as engines

from .test_log_verify import Place

MAKER, LOG = Signer("maker", bytes(range(32))), Signer("log.example", bytes(range(1, 33)))


@pytest.fixture
def place(tmp_path: Path, threaded: Callable[..., str]) -> Iterator[Callable[..., Place]]:
    with ExitStack() as stack:

        def start(name: str, events: int, *, with_log: bool = True) -> Place:
            data = tmp_path / name
            data.mkdir()
            store = Store.open(engines.database_url(data))
            stack.callback(store.close)
            migrate(store)
            scopes = frozenset({"register", "lookup"})
            key = create_key(store, name="Ada", scopes=scopes, evidence_level=0, environment="test", at=0)
            LogFolder(data / "log").write_signer(LOG)
            url = threaded(str(data) if with_log else engines.database_url(data))
            one = Place(url, data, key.secret, Caller(key.principal_id, scopes, 0), store)
            one.lodge(events, name)
            if with_log:
                one.publish()
            return one

        yield start


@pytest.fixture
def honest(place: Callable[..., Place]) -> Place:
    return place("honest", 5)


@pytest.fixture
def account(honest: Place, tmp_path: Path, kit: Any) -> Path:
    """The account of a run that the honest registry answered and countersigned."""
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(9101), "b.png": kit.free(9102)})
    with honest.client() as client:
        filter_dataset(source, tmp_path / "clean", [client], options=Options(workers=1, signer=MAKER))
    return tmp_path / "clean.caveat"


@pytest.fixture
def verified(tmp_path: Path) -> Callable[..., dict[str, tuple[Result, str]]]:
    """Verify what lies at a path, asking registries; ``kept`` is what is remembered of their logs."""

    def run(path: Path, *urls: str, kept: str = "logs", given: tuple[Signer, ...] = ()) -> Any:
        with ExitStack() as stack:
            clients = [stack.enter_context(RegistryClient(url, None, timeout=30, retries=0)) for url in urls]
            keys = [one.verifier for one in given]
            logs, asked = ask_logs(clients, LogMemory(tmp_path / kept), keys)
            by = [*keys, *(key for log in logs for key in log.keys)]
            policy = Policy([MAKER.verifier], int(time.time()), by)
            checks = verify_at(path, Against(policy, Registries(logs), asked)).checks
        return {one.name: (one.result, one.text) for one in checks}

    return run


def not_ok(told: dict[str, tuple[Result, str]]) -> dict[str, str]:
    return {name: text for name, (result, text) in told.items() if result is Result.NOT_OK}


def test_the_log_had_what_the_receipt_and_the_countersignature_name(honest, account, verified):
    told = verified(account, honest.url)
    assert not_ok(told) == {}
    for name in ("countersignature", "log of log.example", "state of log.example"):
        assert told[name][0] is Result.OK, told[name]
    assert told[f"registry {honest.url}"][1] == (
        "its log has 5 events; its key was met for the first time, and is kept now"
    )
    honest.lodge(30, "more")
    honest.publish()
    told, name = verified(account, honest.url), f"registry {honest.url}"
    assert not_ok(told) == {}
    assert told[name][1] == "its log has 35 events; it goes on from what was kept of it here"
    told = verified(account, honest.url, given=[LOG], kept="other")
    assert told[name][1] == "its log has 35 events; its key is the one given"


def test_what_is_not_published_yet_is_not_of_the_future(honest, tmp_path, kit, verified):
    honest.lodge(2, "new")
    source = kit.plant(tmp_path / "set", {"a.png": kit.free(9103)})
    with honest.client() as client:
        filter_dataset(source, tmp_path / "clean", [client], options=Options(workers=1, signer=MAKER))
    told = verified(tmp_path / "clean.caveat", honest.url)
    assert not_ok(told) == {}
    assert "as of event 7" in told["state of log.example"][1]


def test_a_log_that_forked_is_found_out(place, account, verified):
    told = not_ok(verified(account, place("forked", 9).url))
    assert "a log that forked" in told["log of log.example"]
    assert "which it signed" in told["log of log.example"]
    assert "signed by log.example, but a log that forked" in told["countersignature"]


def test_a_log_that_does_not_go_on_from_what_was_kept_is_found_out(place, honest, account, verified):
    forked = place("forked", 9)
    assert not_ok(verified(account, honest.url)) == {}
    told = verified(account, forked.url)
    assert "the log log.example forked: its first 5 events" in not_ok(told)[f"registry {forked.url}"]
    # Nothing is concluded from a log that cannot be relied upon.
    assert told["log"][0] is told["countersignature"][0] is Result.NOT_TOLD


def test_a_log_that_was_set_back_is_found_out(place, account, verified):
    told = not_ok(verified(account, place("young", 2).url))
    assert told["log of log.example"] == "from the future: as of event 5, and this registry has had 2"
    assert "from the future: as of event 5" in told["countersignature"]


OUT_OF_REACH = {
    "nobody there": (lambda place: "http://127.0.0.1:9", (), "its log cannot be relied upon: "),
    "no log": (lambda place: place("bare", 5, with_log=False).url, (), "its log cannot be relied upon: "),
    "another key": (
        lambda place: place("other", 5).url,
        (Signer("log.example", bytes(range(9, 41))),),
        "is signed by the key log.example+",
    ),
}


@pytest.mark.parametrize("case", OUT_OF_REACH)
def test_a_registry_that_cannot_be_relied_upon_is_never_passed_over(place, account, verified, case):
    where, given, message = OUT_OF_REACH[case]
    url = where(place)
    told = verified(account, url, given=given)
    assert message in not_ok(told)[f"registry {url}"]


def test_of_several_registries_each_is_held_to_its_own(place, honest, account, verified):
    bare = "http://127.0.0.1:9"
    told = verified(account, honest.url, bare)
    assert set(not_ok(told)) == {f"registry {bare}"}
    assert told["log of log.example"][0] is Result.OK


def test_a_key_that_was_rotated_away_still_holds_for_what_it_signed(honest, account, verified):
    honest.operate("log", "key", "rotate")
    honest.publish()
    new = honest.log.signers()[0]
    assert new != LOG
    assert not_ok(verified(account, honest.url)) == {}
    # Who gives one key believes no other: the older one is given beside it.
    told = not_ok(verified(account, honest.url, given=[new], kept="other"))
    assert "and not by log.example+" in told["countersignature"]
    assert not_ok(verified(account, honest.url, given=[new, LOG], kept="third")) == {}


# The whole way.

KOHYA = {
    "ss_network_module": "networks.lora",
    "ss_training_comment": "None",
    "ss_num_train_images": "20",
    "ss_dataset_dirs": json.dumps({"10_cosy": {"n_repeats": 10, "img_count": 2}}),
    "modelspec.sai_model_spec": "1.0.1",
}


def test_from_the_set_to_somebody_who_has_only_the_public_keys(honest, caveat, tmp_path, kit):
    kit.plant(tmp_path / "set/10_cosy", {"a.png": kit.free(9104), "b.png": kit.free(9105)})
    done = caveat("filter", "set", "clean", "--registry", honest.url, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clean.caveat" / BUNDLE).is_file()
    began = {"ss_training_started_at": str(time.time())}
    tensors = {"lora_up.weight": np.arange(32, dtype=np.float16).reshape(4, 8)}
    safetensors.numpy.save_file(tensors, tmp_path / "lora.safetensors", KOHYA | began)
    done = caveat("receipt", "attach", "lora.safetensors", "--receipt", "clean")
    assert done.returncode == 0, done.stdout + done.stderr
    maker = caveat("receipt", "key").stdout.strip()
    with safetensors.safe_open(tmp_path / "lora.safetensors", "np") as opened:
        assert opened.metadata()[COUNTERSIGNATURES_KEY]
        np.testing.assert_array_equal(opened.get_tensor("lora_up.weight"), tensors["lora_up.weight"])

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    upload = shutil.copy(tmp_path / "lora.safetensors", elsewhere / "upload.safetensors")
    home = {"HOME": str(elsewhere)}
    by = ("--key", maker, "--log-key", LOG.verifier.text, "--registry", honest.url, "--json")
    done = caveat("receipt", "verify", upload, *by, cwd=elsewhere, env=home)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (0, True), told
    results = {one["name"]: one["result"] for one in told["checks"]}
    assert set(results.values()) == {"ok", "not told"}
    assert [name for name, result in results.items() if result == "not told"] == ["declared hashes"]
    alone = json.loads(caveat("receipt", "verify", upload, "--json", cwd=elsewhere, env=home).stdout)
    assert (alone["ok"], [one["name"] for one in alone["checks"] if one["result"] == "not ok"]) == (
        False, ["signature"],
    )  # fmt: skip
