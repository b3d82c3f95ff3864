"""The pages of receipts, records and grants: what they say, to whom, and what they never say."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from flask.testing import FlaskClient

from api.settings import Settings
from api.web.assets import asset_name
from api.web.pages import POLICY_WITH_SCRIPTS
from registry.countersignature import Bundle
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash, require_inclusion
from registry.note import Signer, parse_checkpoint
from registry.publisher import Publisher
from registry.safetensors import parse_header
from tests.api.receipts import _TENSORS, Clock, envelope_of, header_of, timed
from tests.runs import DAY, MAKER, NOW, THIEF
from tests.web.recognised import People, Recognised, recognised
from tests.web.test_pages import BROWSER, MACHINE, Outline

HOME = ("register", "domain:ada.example")
NOBODY = "a" * 26


@pytest.fixture
def publisher(store: Any, tmp_path: Path) -> Publisher:
    folder, signer = LogFolder(tmp_path / "log"), Signer.new("log.example")
    folder.write_signer(signer)
    return Publisher(store, folder, signer)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW - 30)


@pytest.fixture
def client(
    make_app: Callable[..., Any], publisher: Publisher, clock: Clock, database_url: str
) -> Iterator[FlaskClient]:
    with timed(make_app, Settings(database=database_url, log=publisher.folder.path), clock) as client:
        yield client


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(HOME, 1).headers


@pytest.fixture
def maker(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("lookup",)).headers


@pytest.fixture
def world(
    client: FlaskClient, publisher: Publisher, ada: dict[str, str], maker: dict[str, str]
) -> Recognised:
    def send(method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        answer = client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.get_json(), answer.headers

    def state() -> str:
        publisher.publish()
        return publisher.folder.checkpoint()

    made = recognised(send, People(ada, maker), state)
    publisher.publish()
    return made


def page(client: FlaskClient, path: str, status: int = 200, **headers: str) -> str:
    answer = client.get(path, headers={**BROWSER, **headers})
    assert answer.status_code == status, answer.text
    return answer.text


def paths(world: Recognised) -> list[str]:
    return ["/receipt", f"/receipt/{world.receipt}", f"/record/{world.record}", f"/grant/{world.grant}"]


class TestEveryPage:
    def test_has_its_headers_and_little_weight(self, client, world):
        for path in paths(world):
            answer = client.get(path, headers=BROWSER)
            outline = Outline(answer.text)
            scripts = [one for tag, one in outline.tags if tag == "script"]
            assert all(list(one) == ["src", "defer"] and one["src"].startswith("/static/") for one in scripts)
            policy = answer.headers["Content-Security-Policy"]
            assert (policy == POLICY_WITH_SCRIPTS) == bool(scripts)
            assert "unsafe" not in policy
            assert not [
                name for _, one in outline.tags for name in one if name.startswith("on") or name == "style"
            ]
            ids = [one["id"] for _, one in outline.tags if "id" in one]
            assert len(ids) == len(set(ids))
            for tag, one in outline.tags:
                assert tag != "label" or one["for"] in ids
                assert set((one.get("aria-labelledby") or "").split()) <= set(ids)
                if tag == "a" and (one["href"] or "").startswith("/"):
                    assert client.get(one["href"]).status_code == 200, one["href"]
            sources = {
                one.get("src") or one.get("href")
                for tag, one in outline.tags
                if tag in ("img", "link", "script")
            }
            assert len(answer.data) + sum(len(client.get(source).data) for source in sources) <= 100_000

    def test_has_a_twin_in_json(self, client, world):
        for path in paths(world)[1:]:
            [by_name, by_header] = [
                client.get(f"{path}.json", headers=BROWSER),
                client.get(path, headers=MACHINE),
            ]
            assert (by_name.mimetype, by_name.get_json()) == ("application/json", by_header.get_json())

    @pytest.mark.parametrize(
        "path", ["/receipt/" + "0" * 32, "/receipt/x", f"/record/{NOBODY}", "/record/x", f"/grant/{NOBODY}"]
    )
    def test_of_what_is_not_there_is_404(self, client, path):
        assert "Error 404" in page(client, path, 404)
        assert client.get(f"{path}.json").mimetype == "application/problem+json"


class TestReceipt:
    def test_says_what_was_done_and_what_holds(self, client, world):
        text = page(client, f"/receipt/{world.receipt}")
        for said in (
            "1,284 samples, filtered on 18 November 2026",
            "What can be checked here holds",
            "as copies of a picture",
            "log.example</strong> answered 1 request about 0 items, as of event 4",
            "Does not show that a model was trained on the output",
            "whose key that is, is not known here",
            MAKER.verifier.text,
            f"[![filtered 2026-11-18 · state 4](http://localhost/badge/{world.receipt}.svg)]",
        ):
            assert said in text, said

    def test_names_records_whose_names_are_public_and_counts_the_others(self, client, world):
        text = page(client, f"/receipt/{world.receipt}")
        assert text.count(f'<a href="/record/{world.record}">Ada Lovelace</a>') == 2
        assert "Works of 2 records that reserved this use" in text
        assert "Works of 1 record, by grants that stood" in text
        for hidden in (world.nameless, "Ben Secret", world.grant):
            assert hidden not in text
        named = client.get(f"/receipt/{world.receipt}.json").get_json()["named"]
        assert (named["honoured"], named["consent"], len(named["records"])) == (2, 1, 2)

    def test_is_checked_now(self, client, world, clock):
        clock.seconds = NOW + 91 * DAY
        assert "It holds, and it is old" in page(client, f"/receipt/{world.receipt}")
        clock.seconds = NOW - DAY
        text = page(client, f"/receipt/{world.receipt}")
        assert "It does not hold" in text
        assert "rom the future" in text

    def test_gives_the_bundle_to_the_byte(self, client, world):
        answer = client.get(f"/receipt/{world.receipt}/receipt.bundle.json")
        assert "attachment" in answer.headers["Content-Disposition"]
        shown = client.get(f"/api/v1/receipts/{world.receipt}").get_json()["bundle"]
        assert Bundle.from_json(answer.data).to_wire() == shown

    def test_the_address_is_that_by_which_it_was_asked(self, client, world):
        text = page(
            client, f"/receipt/{world.receipt}", **{"X-Forwarded-Proto": "https", "Host": "r.example"}
        )
        assert f"(https://r.example/receipt/{world.receipt})" in text


class TestRecord:
    def test_says_what_is_given_as_prominently_as_what_is_refused(self, client, world):
        text = page(client, f"/record/{world.record}")
        boxes = [
            one["class"]
            for tag, one in Outline(text).tags
            if tag == "section" and "verdict" in (one.get("class") or "")
        ]
        assert boxes == ["verdict reserved", "verdict conditional", "verdict allowed"]
        for said in (
            "<h1>Ada Lovelace</h1>",
            "training generative AI, training other AI models",
            'href="https://ada.example/licence" rel="nofollow noopener noreferrer"',
            'href="mailto:studio@ada.example"',
            "<code>ada.example</code>",
            "Level 1 of 4",
            "3 of 3 events below are proven",
            "A receipt says that works of it were left out",
            "A receipt says that works of it were used with permission",
            "Permission was given to somebody",
            '<meta name="robots" content="noindex">',
        ):
            assert said in text, said
        assert client.get(f"/record/{world.record}").headers["X-Robots-Tag"] == "noindex"

    @pytest.mark.parametrize(("level", "counts"), [(0, False), (2, False), (3, True), (4, True)])
    def test_a_permission_is_told_as_one_from_the_level_on_which_it_counts(
        self, client, make_key, level, counts
    ):
        body = {"preferences": {"train": "allowed"}, "works": [{"url": "https://ben.example/1.jpg"}]}
        headers = make_key(("register",), level).headers
        id_ = client.post("/api/v1/reservations", json=body, headers=headers).get_json()["id"]
        text = page(client, f"/record/{id_}")
        assert ("Whoever may say so permits it" in text) is counts
        assert ("no filter goes by it yet" in text) is not counts

    def test_without_leave_it_names_nobody(self, client, world, ada, maker, make_key):
        path = f"/record/{world.nameless}"
        told = client.get(f"{path}.json").get_json()
        assert [told[name] for name in ("label", "terms", "contact", "addresses")] == [None] * 4
        assert (told["preferences"], told["honoured"], told["consents"]) == (
            {"genai-train": "reserved"},
            1,
            0,
        )
        text = page(client, path)
        assert "has not made name, terms and contact public" in text
        assert "ecret" not in text
        for headers, shown in ((ada, True), (maker, True), (make_key(HOME).headers, False)):
            assert (client.get(f"{path}.json", headers=headers).get_json()["label"] == "Ben Secret") is shown
        assert client.get(path, headers={"Authorization": "API nonsense"}).status_code == 401

    def test_what_is_made_public_is_shown_and_taken_back(self, client, world, ada):
        path = f"/record/{world.nameless}"
        client.patch(f"/api/v1/reservations/{world.nameless}", json={"public": True}, headers=ada)
        assert "ben@secret.example" in page(client, path)
        assert "Ben Secret" in page(client, f"/receipt/{world.receipt}")
        client.patch(f"/api/v1/reservations/{world.nameless}", json={"public": False}, headers=ada)
        assert "ecret" not in page(client, path)
        assert "Ben Secret" not in page(client, f"/receipt/{world.receipt}")

    def test_the_hashes_prove_its_events(self, client, world, publisher):
        told = client.get(f"/record/{world.record}.json").get_json()
        checkpoint = parse_checkpoint(told["checkpoint"].partition("\n\n")[0] + "\n")
        assert [one["op"] for one in told["events"]] == ["register", "change", "grant"]
        for one in told["events"]:
            leaf = leaf_hash(one["leaf"].encode())
            hashes = [bytes.fromhex(text) for text in one["proof"]]
            require_inclusion(leaf, one["seq"] - 1, checkpoint.size, hashes, checkpoint.root)

    def test_withdrawn_and_erased(self, client, world, ada):
        path = f"/api/v1/reservations/{world.record}"
        client.delete(path, headers=ada)
        text = page(client, f"/record/{world.record}")
        assert "This record was withdrawn on 18 November 2026. It says nothing any more" in text
        assert "Said until it was withdrawn" in text
        client.post(f"{path}/erase", json={"keep": False}, headers=ada)
        page(client, f"/record/{world.record}", 404)
        named = client.get(f"/receipt/{world.receipt}.json").get_json()["named"]
        assert named == {"honoured": 1, "consent": 0, "records": []}

    def test_receipts_that_are_gone_count_no_more(self, client, world, maker):
        client.delete(f"/api/v1/receipts/{world.receipt}", headers=maker)
        told = client.get(f"/record/{world.record}.json").get_json()
        assert (told["honoured"], told["consents"], told["receipts"]) == (0, 0, [])

    def test_words_of_others_are_text(self, client, world, ada):
        hostile = "<script>alert(1)</script>"
        body = {"label": hostile, "terms": "javascript:alert(1)", "contact": f"x {hostile}"}
        client.patch(f"/api/v1/reservations/{world.record}", json=body, headers=ada)
        for path in paths(world)[1:]:
            text = page(client, path)
            assert hostile not in text
            assert 'href="javascript' not in text


class TestGrant:
    def test_says_who_may_do_what_until_when(self, client, world):
        text = page(client, f"/grant/{world.grant}")
        for said in (
            "Acme Models",
            "Permitted",
            "training generative AI",
            "one model, no resale",
            f"/record/{world.record}",
        ):
            assert said in text, said
        assert client.get(f"/grant/{world.grant}").headers["X-Robots-Tag"] == "noindex"

    @pytest.mark.parametrize(
        ("days", "back", "standing", "title"),
        [
            (0, False, "granted", "Permitted"),
            (-10, False, "not yet", "Not yet"),
            (401, False, "ended", "Ended"),
            (0, True, "revoked", "Taken back"),
        ],
        ids=["stands", "not yet", "ended", "taken back"],
    )
    def test_says_how_it_stands_now(self, client, world, clock, ada, days, back, standing, title):
        if back:
            client.delete(f"/api/v1/grants/{world.grant}", headers=ada)
        clock.seconds += days * DAY
        assert client.get(f"/grant/{world.grant}.json").get_json()["standing"] == standing
        assert f'<h2 id="verdict">{title}</h2>' in page(client, f"/grant/{world.grant}")


def posted(client: FlaskClient, path: str = "/receipt.json", **fields: Any) -> Any:
    return client.post(path, data=fields, content_type="multipart/form-data", headers=BROWSER)


def file_of(data: bytes, name: str) -> tuple[BytesIO, str]:
    return BytesIO(data), name


def model(length: int, rest: bytes) -> tuple[bytes, str]:
    return length.to_bytes(8, "little") + rest, "m.safetensors"


WRONG = {
    "nothing": ({}, "Nothing was sent"),
    "no JSON": ({"receipt": "hello"}, "JSON"),
    "no receipt": ({"receipt": "{}"}, "could not be checked"),
    "no key": ({"receipt": "{}", "key": "x"}, "Key: "),
    "a header that is cut off": ({"file": model(16, b"{}")}, "announces 24 bytes"),
    "a header of 100 MB": ({"file": model(10**8, b"{}")}, "announces 100,000,008"),
    "what is not JSON": ({"file": model(2, b"no")}, "could not be checked"),
    "a tail": ({"file": model(2, b"{}xxx")}, "Expected a header of 10 bytes"),
    "a hash of nothing": ({"file": model(2, b"{}"), "tensor_hash": "X"}, "ensor_hash: expected"),
}


class TestChecking:
    """A receipt that somebody has, pasted or as a file, and models."""

    def test_pasted_or_as_a_file_it_is_the_same(self, client, world):
        wire = envelope_of(world.run)
        pasted = posted(client, receipt=f"\r\n {json.dumps(wire, indent=2)} \n").get_json()
        sent = posted(client, file=file_of(json.dumps(wire).encode(), "receipt.dsse.json")).get_json()
        assert pasted == sent
        assert (pasted["verdict"], pasted["key_known"], pasted["key"]) == ("ok", False, MAKER.verifier.text)
        # What was countersigned is found, since it was published here.
        assert "answered 1 requests" in json.dumps(pasted["checks"])

    @pytest.mark.parametrize(
        ("signer", "verdict", "known"),
        [(MAKER, "ok", True), (THIEF, "not ok", False)],
        ids=["maker", "thief"],
    )
    def test_by_a_key_that_is_given(self, client, world, signer, verdict, known):
        found = posted(
            client, receipt=json.dumps(envelope_of(world.run)), key=signer.verifier.text
        ).get_json()
        assert (found["verdict"], found["key_known"]) == (verdict, known)

    def test_another_key_is_named_as_such(self, client, world):
        sent = {"receipt": json.dumps(envelope_of(world.run)), "key": THIEF.verifier.text}
        assert "Signed by another key" in posted(client, "/receipt", **sent).text

    def test_a_changed_one_does_not_hold(self, client, world):
        wire = envelope_of(world.run)
        wire["signatures"][0]["sig"] = envelope_of(replace(world.run, resumed=1))["signatures"][0]["sig"]
        text = posted(client, "/receipt", receipt=json.dumps(wire)).text
        assert "It does not hold" in text
        assert posted(client, receipt=json.dumps(wire)).get_json()["receipt"] is None

    def test_of_a_model_the_header_is_enough_and_the_whole_is_more(self, client, world, clock):
        clock.seconds = NOW + DAY
        header, tensors = header_of(world.run)
        [alone, told, whole, other] = [
            posted(client, file=file_of(data, "m.safetensors"), tensor_hash=said).get_json()
            for data, said in (
                (header, ""),
                (header, tensors),
                (header + tensor_bytes(), ""),
                (header, "0" * 64),
            )
        ]
        assert [one["verdict"] for one in (alone, told, whole, other)] == ["not told", "ok", "ok", "not ok"]
        assert {one["tensor_hash"] for one in (alone, told, whole, other)} == {tensors}
        assert "something is open" in posted(client, "/receipt", file=file_of(header, "m.safetensors")).text

    @pytest.mark.parametrize("case", WRONG)
    def test_what_is_wrong_stands_at_the_form_and_is_no_verdict(self, client, case):
        fields, said = WRONG[case]
        for path in ("/receipt", "/receipt.json"):
            sent = {name: file_of(*one) if isinstance(one, tuple) else one for name, one in fields.items()}
            answer = posted(client, path, **sent)
            assert answer.status_code == 422, answer.text
            if path == "/receipt":
                assert said in answer.text
                assert "That could not be checked" in answer.text
                assert 'id="verdict"' not in answer.text
            else:
                assert answer.mimetype == "application/problem+json"

    def test_a_file_of_more_than_16_mib_is_413(self, client):
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="m"\r\n\r\n'
        body = head + bytes(16 * 2**20 + 1) + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        answer = client.post("/receipt", data=body, content_type=kind, headers=BROWSER)
        assert (answer.status_code, "larger than 16 MiB" in answer.text) == (413, True)

    def test_another_kind_of_body_is_415(self, client):
        assert client.post("/receipt.json", data=b"{}", content_type="application/json").status_code == 415


def tensor_bytes() -> bytes:
    file = safetensors.numpy.save(_TENSORS)
    return file[parse_header(file).size :]


def test_scripts_are_served_under_their_contents(client):
    answer = client.get(f"/static/{asset_name('receipt.js')}")
    assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
