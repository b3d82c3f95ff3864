"""Evidence as PDF: it tells people what the JSON that it carries tells machines, to those who may see it."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader

from api.settings import Settings
from registry.evidence import check_evidence
from registry.listing import NDJSON
from registry.publisher import Publisher
from registry.store import Store, principals
from tests.api.authority import Authority, answering, authority
from tests.api.receipts import Clock, timed
from tests.api.test_imports import SIGNER, claim_of, lines, work

NOW = 1_793_707_200  # 2026-11-03 12:00 UTC
DRAFT = {
    "preferences": {"train": "reserved", "genai-train": "reserved", "ai-input": "conditional"},
    "label": "Ada",
    "terms": "https://ada.test/licence",
    "contact": "studio@ada.test",
    "works": [{"title": "Sunflower", "url": "https://ada.test/1.jpg", "sha256": "5f" * 32}],
    "rules": [{"kind": "exact", "value": "https://ada.test/2.jpg"}],
}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def client(timed_client: FlaskClient) -> FlaskClient:
    return timed_client


@pytest.fixture
def ada(make_key: Callable[..., Any]) -> dict[str, str]:
    return make_key(("register",)).headers


def lodge(client: FlaskClient, headers: dict[str, str], **draft: Any) -> str:
    answer = client.post("/api/v1/reservations", json={**DRAFT, **draft}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


class Paper:
    """A PDF that was answered: its text, and the files in it."""

    def __init__(self, client: FlaskClient, record: str, headers: dict[str, str], query: str = "") -> None:
        answer = client.get(f"/api/v1/reservations/{record}/evidence.pdf{query}", headers=headers)
        assert (answer.status_code, answer.content_type) == (200, "application/pdf"), answer.text
        self.data = answer.data
        self.reader = PdfReader(io.BytesIO(self.data))
        # pypdf reads the codes of OpenType faces byte by byte: a zero before each character.
        self.pages = [page.extract_text().replace("\0", "") for page in self.reader.pages]
        self.files = {name: found[0] for name, found in self.reader.attachments.items()}

    @property
    def text(self) -> str:
        """All of it as one line: where lines end is for the pages to say."""
        return " ".join(" ".join(self.pages).split())

    @property
    def packed(self) -> str:
        """All of it without any space: a long hash goes on in the next line."""
        return re.sub(r"\s", "", self.text)

    @property
    def evidence(self) -> dict[str, Any]:
        evidence: dict[str, Any] = json.loads(self.files["evidence.json"])
        return evidence


def test_it_tells_what_was_lodged_when_and_how_it_is_proven(client, ada, publisher, signer):
    record = lodge(client, ada)
    client.patch(f"/api/v1/reservations/{record}", json={"label": "A. L."}, headers=ada)
    publisher.publish()
    paper = Paper(client, record, ada)
    for told in (
        record,
        "Made 2026-11-03 12:00:00 UTC",
        "state asserted",
        "reserved genai-train, train",
        "conditional ai-input",
        "0: nothing was checked about who lodged it",
        "Event 1: lodged",
        "name given Ada",
        "Event 2: changed",
        "name given A. L.",
        "title Sunflower",
        "address https://ada.test/1.jpg",
        "https://ada.test/2.jpg",
        "size 2 events",
        "There is no timestamp. This registry asks no other authority",
        "That any model was trained on any of these works.",
        f"page 1 of {len(paper.pages)}",
        f"http://localhost/api/v1/reservations/{record}/evidence",
    ):
        assert told in paper.text, told
    checkpoint, proven = check_evidence(paper.evidence, [signer.verifier])
    assert checkpoint is not None
    for told in (
        "5f" * 32,
        checkpoint.root.hex(),
        signer.verifier.text,
        hashlib.sha256(paper.files["evidence.json"]).hexdigest(),
        *(event["leaf"] for event in paper.evidence["events"]),
        *(one for event in paper.evidence["events"] for one in event["proof"]),
    ):
        assert told in paper.packed, told
    assert [one.leaf.op for one in proven] == ["register", "change"]
    same = client.get(f"/api/v1/reservations/{record}/evidence", headers=ada).get_json()
    assert paper.evidence == same


def test_it_is_pdf_a_with_the_json_associated(client, ada, publisher):
    record = lodge(client, ada)
    publisher.publish()
    paper = Paper(client, record, ada)
    catalogue = paper.reader.trailer["/Root"]
    described = catalogue["/Metadata"].get_data().decode()
    assert re.search(r"pdfaid:part>3<|pdfaid:part=\"3\"", described)
    [associated] = [one.get_object() for one in catalogue["/AF"]]
    assert associated["/UF"] == "evidence.json"
    assert associated["/AFRelationship"] == "/Data"


def test_the_same_state_in_the_same_second_gives_the_same_bytes(client, ada, publisher, clock):
    record = lodge(client, ada)
    publisher.publish()
    assert Paper(client, record, ada).data == Paper(client, record, ada).data
    before = Paper(client, record, ada)
    clock.seconds += 1
    after = Paper(client, record, ada)
    assert after.data != before.data
    assert after.files == before.files


def test_what_others_wrote_is_text_and_what_cannot_be_seen_is_shown(client, ada, publisher):
    label = "**Ada** <b>{nb}</b> \u202egpj.exe"
    record = lodge(client, ada, label=label)
    publisher.publish()
    paper = Paper(client, record, ada)
    assert "**Ada** <b>{nb}</b> [U+202E]gpj.exe" in paper.text
    assert paper.evidence["events"][0]["payload"]["version"]["label"] == label


def test_of_ten_thousand_works_the_first_are_printed_and_all_are_attached(client, ada, publisher):
    works = [{"title": f"No. {n}", "url": f"https://ada.test/{n}.jpg"} for n in range(10_000)]
    record = lodge(client, ada, works=works)
    publisher.publish()
    paper = Paper(client, record, ada)
    assert "10,000 works. The first 100 are printed here; all 10,000 are in the attached" in paper.text
    assert "No. 99" in paper.text
    assert "No. 100" not in paper.text
    assert len(paper.evidence["events"][0]["payload"]["works"]) == 10_000
    assert len(paper.pages) < 20


def test_without_works_it_says_that_it_is_about_addresses(client, ada, publisher):
    record = lodge(client, ada, works=[])
    publisher.publish()
    paper = Paper(client, record, ada)
    assert "No single work was lodged; the record is about addresses." in paper.text


def test_what_was_withdrawn_says_so(client, ada, publisher, clock):
    record = lodge(client, ada)
    clock.seconds += 60
    client.delete(f"/api/v1/reservations/{record}", headers=ada)
    publisher.publish()
    text = Paper(client, record, ada).text
    assert "state withdrawn" in text
    assert "withdrawn 2026-11-03 12:01:00 UTC; it says nothing from then on" in text


def test_what_no_checkpoint_covers_is_not_called_proven(client, ada, publisher):
    record = lodge(client, ada)
    assert "Nothing here is proven; ask again later." in Paper(client, record, ada).text
    publisher.publish()
    client.patch(f"/api/v1/reservations/{record}", json={"label": "A. L."}, headers=ada)
    assert "Not under the signed state yet" in Paper(client, record, ada).text


def test_others_see_that_it_happened_and_not_what(client, ada, make_key, publisher):
    record = lodge(client, ada)
    publisher.publish()
    paper = Paper(client, record, make_key(("lookup",)).headers)
    assert "ada.test" not in paper.text
    assert "Event 1: lodged (what it said is not shown)" in paper.text
    assert b"ada.test" not in paper.files["evidence.json"]


def test_the_rule_of_access_is_that_of_the_json(client, ada, make_key, publisher):
    record = lodge(client, ada)
    stranger, nobody = make_key(("register",)).headers, make_key(("mirror",)).headers
    for headers, status in ((stranger, 404), (None, 401), (nobody, 403)):
        for name in ("evidence", "evidence.pdf"):
            asked = client.get(f"/api/v1/reservations/{record}/{name}", headers=headers)
            assert asked.status_code == status, name


# -- imports ---------------------------------------------------------------------------------------


@pytest.fixture
def partner(store: Store, make_key: Callable[..., Any]) -> dict[str, str]:
    key = make_key(("import:acme", "register"))
    with store.administer() as connection:
        principals.set_import_key(connection, key.caller.principal_id, SIGNER.verifier.text)
    return dict(key.headers)


@pytest.fixture
def imported(client: FlaskClient, partner: dict[str, str], publisher: Publisher) -> str:
    """Seven works in two parts, of events 1 and 2."""
    begin = {"namespace": "acme", "preferences": {"genai-train": "reserved"}, "label": "Acme"}
    id_ = str(client.post("/api/v1/imports", json=begin, headers=partner).get_json()["id"])
    shas = []
    for number, held in enumerate((range(4), range(4, 7)), 1):
        path = f"/api/v1/imports/{id_}/parts/{number}"
        data = lines(*map(work, held))
        shas.append(client.put(path, data=data, content_type=NDJSON, headers=partner).get_json()["sha256"])
    path = f"/api/v1/imports/{id_}/complete"
    assert client.post(path, json=claim_of(id_, shas, 7), headers=partner).status_code == 200
    publisher.publish()
    return id_


def test_a_work_of_an_import_has_a_proof_of_its_own(client, imported, partner, signer):
    paper = Paper(client, imported, partner, "?work=1.2&work=2.0")
    assert "7 works were lodged in one import" in paper.text
    assert "number 2 of 4 in event 1" in paper.text
    assert work(2)["sha256"] in paper.packed
    assert [one["row"]["title"] for one in paper.evidence["works"]] == ["No. 2", "No. 4"]
    check_evidence(paper.evidence, [signer.verifier])


NOT_THERE = {
    "?work=x": 422,
    "?work=1": 422,
    "?work=1.-1": 422,
    "?work=01.0": 422,
    "?work=": 422,
    "?work=1.4": 404,
    "?work=3.0": 404,
    "?work=99.0": 404,
    "?" + "&".join(["work=1.0"] * 101): 413,
}


def test_works_that_are_not_there_are_refused_by_name(client, imported, partner):
    for query, status in NOT_THERE.items():
        for name in ("evidence", "evidence.pdf"):
            path = f"/api/v1/reservations/{imported}/{name}{query}"
            assert client.get(path, headers=partner).status_code == status, query


def test_only_who_lodged_an_import_sees_its_works(client, imported, make_key):
    asker = make_key(("lookup",)).headers
    path = f"/api/v1/reservations/{imported}/evidence"
    assert client.get(path, headers=asker).status_code == 200
    assert client.get(f"{path}?work=1.2", headers=asker).status_code == 404


# -- timestamps of another authority ---------------------------------------------------------------


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as one:
        yield one


Stamping = Callable[..., FlaskClient]


@pytest.fixture
def stamping(
    make_app: Callable[..., Any], publisher: Publisher, clock: Clock, database_url: str
) -> Iterator[Stamping]:
    """Make a client of a service that asks an authority."""
    with ExitStack() as stack:

        def make(url: str, *, private: bool = True) -> FlaskClient:
            settings = Settings(
                database=database_url,
                log=publisher.folder.path,
                timestamp_url=url,
                timestamp_private=private,
            )
            return stack.enter_context(timed(make_app, settings, clock))

        yield make


def test_the_token_is_over_the_attached_json_and_openssl_verifies_it(stamping, ada, publisher, tsa):
    client = stamping(tsa.url)
    record = lodge(client, ada)
    publisher.publish()
    paper = Paper(client, record, ada)
    data, token = paper.files["evidence.json"], paper.files["evidence.json.tsr"]
    assert tsa.verify(data, token) == b"Verification: OK\n"
    assert f"authority {tsa.url}" in paper.text
    assert "There is no timestamp" not in paper.text
    asked = len(tsa.asked)
    assert Paper(client, record, ada).data == paper.data
    assert len(tsa.asked) == asked
    assert hashlib.sha256(data).digest() in tsa.asked[-1]
    assert data not in tsa.asked[-1]


def test_an_authority_that_gives_none_is_told_by_name(stamping, ada, publisher):
    with answering(lambda _: (500, b"")) as url:
        client = stamping(url)
        record = lodge(client, ada)
        publisher.publish()
        paper = Paper(client, record, ada)
    assert "There is no timestamp (FetchError)" in paper.text
    assert "answered 500" in paper.text
    assert set(paper.files) == {"evidence.json"}


def test_the_token_of_other_evidence_or_of_another_request_is_refused(
    stamping, ada, publisher, tsa, tmp_path
):
    client = stamping(tsa.url)
    first = lodge(client, ada)
    publisher.publish()
    token = Paper(client, first, ada).files["evidence.json.tsr"]
    with answering(lambda _: (200, token)) as url:
        for record, told in ((lodge(client, ada), "stamped something else"), (first, "another request")):
            assert told in Paper(stamping(url), record, ada).text


def test_an_authority_that_is_not_public_is_not_called(stamping, ada, publisher, tsa):
    client = stamping(tsa.url, private=False)
    record = lodge(client, ada)
    publisher.publish()
    asked = len(tsa.asked)
    assert "There is no timestamp (RefusedAddressError)" in Paper(client, record, ada).text
    assert len(tsa.asked) == asked
