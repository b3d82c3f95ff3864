"""Go checks the evidence that the registry gives of one record, and follows a key that is rotated."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from go_check import GoCheck, RefusedError
from published import Published

from registry.note import Signer, Verifier

pytestmark = pytest.mark.xdist_group("go")
WORK = {"title": "Ünïcode — “<&>”", "url": "https://a.test/1.jpg?a=1&b=2", "sha256": "ab" * 32}
DRAFT = {
    "preferences": {"train": "reserved", "ai-input": "allowed"},
    "works": [WORK, {"sha256": "cd" * 32}],
    "rules": [{"kind": "exact", "value": "https://a.test/2.jpg"}],
    "terms": "https://a.test/terms",
}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Published]:
    log = Published.new(tmp_path, Signer.new("log.test/evidence")).grow((300,))
    yield log
    log.store.close()


@pytest.fixture
def service(log: Published, make_app: Callable[..., Any], make_key: Callable[..., Any]) -> Callable[..., Any]:
    """Ask the service, as one who may lodge."""
    client, headers = make_app(log=log.log).test_client(), make_key(("register",)).headers

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = client.open(f"/api/v1{path}", method=method, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.get_json()

    return ask


@pytest.fixture
def evidence(log: Published, service: Callable[..., Any]) -> dict[str, Any]:
    """The evidence of a record that was lodged, added to, changed and withdrawn."""
    id_ = service("POST", "/reservations", DRAFT)["id"]
    service("POST", f"/reservations/{id_}/works", {"works": [{"sha256": "ef" * 32}]})
    service("PATCH", f"/reservations/{id_}", {"label": "another", "preferences": {"search": "conditional"}})
    service("DELETE", f"/reservations/{id_}")
    log.publish()
    given: dict[str, Any] = service("GET", f"/reservations/{id_}/evidence")
    assert [event["op"] for event in given["events"]] == ["register", "works", "change", "withdraw"]
    return given


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[Any], Path]:
    def write(given: Any) -> Path:
        (tmp_path / "evidence.json").write_text(json.dumps(given, ensure_ascii=False))
        return tmp_path / "evidence.json"

    return write


def test_go_checks_every_proof_and_what_the_leaves_commit_to(
    log: Published, evidence: dict[str, Any], go: GoCheck, kept: Callable[[Any], Path]
) -> None:
    seen = go.evidence(log.key, kept(evidence))
    assert (seen["size"], seen["proved"], seen["committed"]) == (304, 4, 4)
    assert go(log.key, log.log, old=log.ever_signed)["root"] == seen["root"]


def test_what_was_erased_is_still_proved_to_have_happened(
    log: Published, service: Callable[..., Any], go: GoCheck, kept: Callable[[Any], Path]
) -> None:
    id_ = service("POST", "/reservations", DRAFT)["id"]
    service("PATCH", f"/reservations/{id_}", {"label": "another"})
    service("POST", f"/reservations/{id_}/erase", {"keep": True})
    log.publish()
    given = service("GET", f"/reservations/{id_}/evidence")
    seen = go.evidence(log.key, kept(given))
    assert (seen["proved"], seen["committed"]) == (3, 1)
    assert not any(event["salt"] or event["payload"] for event in given["events"][:2])


def changed(given: Any, name: str) -> Any:
    other = copy.deepcopy(given)
    event = other["events"][0]
    if name == "payload":
        event["payload"]["works"][0]["title"] = "another"
    elif name == "leaf":
        event["leaf"] = event["leaf"].replace("register", "withdraw")
    elif name == "another event's leaf":
        event["leaf"] = other["events"][1]["leaf"]
    elif name == "hash":
        event["proof"][0] = event["proof"][0][:-1] + ("0" if event["proof"][0][-1] != "0" else "1")
    elif name == "shorter":
        event["proof"].pop()
    elif name == "salt":
        event["salt"] = "00" * 16
    elif name == "record":
        other["record"] = "b" * 26
    else:
        other["checkpoint"] = other["checkpoint"].replace("\n304\n", "\n303\n")
    return other


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("payload", "says something else"),
        ("leaf", "event 301: "),
        ("another event's leaf", "its leaf is of event 302"),
        ("hash", "event 301: "),
        ("shorter", "event 301: "),
        ("salt", "says something else"),
        ("record", "its leaf is of event 301"),
        ("size", "checkpoint: invalid signature"),
    ],
)
def test_evidence_that_was_changed_is_refused(
    log: Published,
    evidence: dict[str, Any],
    go: GoCheck,
    kept: Callable[[Any], Path],
    name: str,
    told: str,
) -> None:
    with pytest.raises(RefusedError, match=told):
        go.evidence(log.key, kept(changed(evidence, name)))


def test_who_knows_the_old_key_finds_the_new_one_and_the_old_one_ends(
    log: Published, service: Callable[..., Any], go: GoCheck, kept: Callable[[Any], Path]
) -> None:
    def key(*words: str) -> str:
        command = [sys.executable, "-m", "api.commands", "log", "key", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    old, before = log.key, log.checkpoints[300]
    key("rotate", "--data", str(log.home))
    log.publish()
    new = key("--data", str(log.home)).split("\n")[0]
    assert new != old
    for one in (old, new):
        assert go(one, log.log)["leaves"] == 301
    assert go(old, log.log, old=[before])["consistent"] == [300]
    announced = service("GET", "/log/keys")
    assert go.evidence(old, kept(announced))["proved"] == 1
    assert json.loads(announced["events"][0]["leaf"])["key"] == new
    key("revoke", "--data", str(log.home), Verifier.parse(old).key_hash.hex())
    log.publish()
    assert go(new, log.log, old=[log.checkpoints[301]])["consistent"] == [301]
    with pytest.raises(RefusedError, match="no verifiable signatures"):
        go(old, log.log)
