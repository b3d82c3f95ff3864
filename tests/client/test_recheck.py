"""An earlier run looked at again, against a registry in which things are lodged and withdrawn."""

import json

import pytest

from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.own import read_own
from registry.client.pictures import hash_files
from registry.client.recheck import recheck
from registry.demo.training_set import PICTURES
from registry.errors import DatasetError, InputError
from registry.preference import Action, Mode

RESERVED = {"train": "reserved", "genai-train": "reserved"}


@pytest.fixture
def lodged(live):
    """Lodge pictures as one reservation, to be withdrawn at the end."""
    made = []

    def lodge_them(*paths):
        works = [work_of(one) for one in hash_files(list(paths), registered=True)]
        with RegistryClient(live.url, live.keys["ada"]) as client:
            told = Lodged(live.url)
            lodge(client, {"preferences": RESERVED, "label": "Late"}, works, told)
        made.append(told.id)
        return told.id

    yield lodge_them
    with RegistryClient(live.url, live.keys["ada"]) as client:
        for id_ in made:
            client.withdraw(id_)


@pytest.fixture
def filtered(live, tmp_path, kit, copies):
    def run(files=None, **more):
        files = files or {
            "a.png": kit.free(8101),
            "b.png": kit.free(8102),
            "c.jpg": copies["same"],
            "d.png": "no",
        }
        kit.plant(tmp_path / "set", files)
        with live.client() as client:
            return filter_dataset(
                tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1), **more
            )

    return run


@pytest.fixture
def again(live, tmp_path):
    def run(**more):
        with live.client() as client:
            return recheck(tmp_path / "clean", [client], **more)

    return run


def keys(verdicts):
    return [verdict.sample.key for verdict in verdicts]


def test_nothing_lodged_since_is_not_asked_about(filtered, again, live):
    summary = filtered()
    found = again()
    assert (found.asked, found.since, found.as_of_seq) == (0, summary.as_of_seq, summary.as_of_seq)
    assert [found.reserved, found.to_look_at, found.free, found.failed] == [[]] * 4


def test_what_was_lodged_since_is_reserved_now_and_what_was_withdrawn_is_free(
    filtered, again, lodged, live, tmp_path, kit
):
    kit.plant(tmp_path, {"mine/e.png": kit.free(8105), "mine/a.png": kit.free(8101)})
    before = lodged(tmp_path / "mine/e.png")
    filtered({"a.png": kit.free(8101), "b.png": kit.free(8102), "e.png": kit.free(8105), "d.png": "no"})
    assert kit.tree(tmp_path / "clean").keys() == {"a.png", "b.png"}
    lodged(tmp_path / "mine/a.png")
    with RegistryClient(live.url, live.keys["ada"]) as client:
        client.withdraw(before)
    account = kit.tree(tmp_path / "clean.caveat")
    (tmp_path / "clean/a.png").unlink()  # No picture is read.
    found = again()
    assert (keys(found.reserved), keys(found.free)) == (["a.png"], ["e.png"])
    assert (found.to_look_at, found.failed, found.asked) == ([], [], 3)
    assert found.as_of_seq[live.url] > found.since[live.url]
    assert "Late" in found.reserved[0].reason
    assert kit.tree(tmp_path / "clean.caveat") == account


def test_the_mode_of_the_run_is_kept(filtered, again, lodged, tmp_path, kit):
    kit.plant(tmp_path, {"mine/a.png": kit.free(8101)})
    who = {"organisation": "Lab", "purpose": "study"}
    filtered(rules=Rules(mode=Mode.RESEARCH_ART3, **who))
    lodged(tmp_path / "mine/a.png")
    assert again().reserved == []


def test_own_works_and_what_was_set_aside_are_not_asked_about(filtered, again, lodged, tmp_path, kit):
    kit.plant(tmp_path, {"mine/b.png": kit.free(8102)})
    filtered(rules=Rules(own=read_own(PICTURES / "ben")))
    lodged(tmp_path / "mine/b.png")
    found = again()
    assert (found.asked, keys(found.reserved)) == (2, ["b.png"])


def test_records_of_weak_evidence_count_as_in_the_run(filtered, again, lodged, tmp_path, kit):
    kit.plant(tmp_path, {"mine/a.png": kit.free(8101)})
    filtered(rules=Rules(min_evidence=3))
    lodged(tmp_path / "mine/a.png")
    assert keys(again().reserved) == ["a.png", "c.jpg"]
    assert again(min_evidence=3).reserved == []


def test_a_run_that_was_eased_does_not_stand_where_nothing_eases_it_now(filtered, again, tmp_path):
    filtered(rules=Rules(min_evidence=3))
    found = again()
    assert (found.asked, keys(found.reserved)) == (3, ["c.jpg"])


def test_nobody_to_ask_is_an_error(filtered, tmp_path):
    filtered()
    with pytest.raises(InputError, match="no registry to ask"):
        recheck(tmp_path / "clean", [])


def test_what_the_registry_cannot_answer_is_named(filtered, fake, tmp_path):
    filtered()

    def failing(body):
        wires = [
            {"id": item["id"], "status": "error", "preference": None, "reason": "Not now.", "statements": []}
            for item in body["items"]
        ]
        return 200, {"as_of_seq": 9, "results": wires}, {}

    with RegistryClient(fake(failing).url, retries=0) as client:
        found = recheck(tmp_path / "clean", [client])
    assert keys(found.failed) == ["a.png", "b.png", "c.jpg"]
    assert {verdict.action for verdict in found.failed} == {Action.ERROR}


DAMAGED = {
    "none": None,
    "no JSON": b"{\n",
    "no decision": b'{"path": "a.png"}\n',
    "cut off": b'{"path": "a.p',
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_decisions_that_cannot_be_read_are_an_error_by_name(again, tmp_path, data):
    if data is not None:
        (tmp_path / "clean.caveat").mkdir()
        (tmp_path / "clean.caveat/decisions.jsonl").write_bytes(data)
    with pytest.raises(DatasetError, match=r"decisions\.jsonl"):
        again()


def test_the_command_ends_with_what_it_found(filtered, caveat, live, lodged, tmp_path, kit):
    at = ("--registry", live.url, "--key", live.keys["maker"])
    kit.plant(tmp_path, {"mine/a.png": kit.free(8101)})
    filtered()
    still = caveat("recheck", "clean", *at)
    assert still.returncode == 0
    assert "all stands as it was" in still.stdout
    lodged(tmp_path / "mine/a.png")
    found = caveat("recheck", "clean", *at)
    assert found.returncode == 1
    assert "1 reserved now, 0 to look at, 0 free now, 0 not checked; of 3 samples" in found.stdout
    wire = json.loads(caveat("recheck", "clean", *at, "--output", "json").stdout)
    assert [one["path"] for one in wire["reserved"]] == ["a.png"]
