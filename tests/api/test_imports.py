"""Imports through HTTP: three kinds of bodies, what is refused by name, and two real workers."""

import csv
import http.client
import io
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from flask.testing import FlaskClient

from api.keys import create_key, parse_scopes
from registry.errors import InputError, NotFoundError
from registry.import_claim import Claim, digest_of, statement_of
from registry.listing import CSV, NDJSON, PARQUET
from registry.note import Signer, sign_note
from registry.store import Store, imports, principals

BEGIN = {"namespace": "acme", "preferences": {"genai-train": "reserved"}, "label": "Acme"}
SIGNER = Signer.new("acme.example")


def work(number: int) -> dict[str, Any]:
    return {
        "title": f"No. {number}",
        "url": f"https://works.example.org/{number}.jpg",
        "sha256": f"{number:032x}" * 2,
    }


def lines(*works: dict[str, Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in works).encode()


@pytest.fixture
def headers(store: Store, make_key: Callable[..., Any]) -> dict[str, str]:
    key = make_key(("import:acme",))
    with store.administer() as connection:
        principals.set_import_key(connection, key.caller.principal_id, SIGNER.verifier.text)
    return dict(key.headers)


@pytest.fixture
def begun(client: FlaskClient, headers: dict[str, str]) -> str:
    answer = client.post("/api/v1/imports", json=BEGIN, headers=headers)
    assert answer.status_code == 201
    wire = answer.get_json()
    assert wire["signer"] == SIGNER.verifier.text
    assert (wire["state"], wire["part_works"]) == ("open", 10_000)
    assert answer.headers["Location"] == f"/api/v1/imports/{wire['id']}"
    return str(wire["id"])


def claim_of(id_: str, bodies: Sequence[str], works: int, signer: Signer = SIGNER) -> dict[str, Any]:
    claim = Claim(len(bodies), works, digest_of([bytes.fromhex(one) for one in bodies]))
    note = sign_note(statement_of("acme", id_, claim), [signer])
    return {"parts": claim.parts, "works": works, "digest": claim.digest.hex(), "note": note}


def looked_up(client: FlaskClient, *numbers: int) -> list[str | None]:
    items = [{"id": str(number), "url": work(number)["url"]} for number in numbers]
    results = client.post("/api/v1/lookup", json={"items": items}).get_json()["results"]
    return [result["preference"] for result in results]


def test_a_whole_import(client: FlaskClient, headers: dict[str, str], begun: str) -> None:
    path = f"/api/v1/imports/{begun}"
    shas = []
    for number in (2, 1):
        data = lines(work(10 * number), work(10 * number + 1))
        for _ in range(2):
            answer = client.put(f"{path}/parts/{number}", data=data, content_type=NDJSON, headers=headers)
            assert answer.status_code == 200
        part = answer.get_json()
        assert (part["id"], part["part"], part["works"], part["exact_only"]) == (begun, number, 2, [])
        shas.insert(0, part["sha256"])
    assert looked_up(client, 10, 21) == ["unknown", "unknown"]
    shown = client.get(path, headers=headers).get_json()
    assert [(one["part"], one["works"], one["sha256"]) for one in shown["parts"]] == [
        (1, 2, shas[0]),
        (2, 2, shas[1]),
    ]
    assert (shown["state"], shown["seq"], shown["label"]) == ("open", None, "Acme")
    claim = claim_of(begun, shas, 4)
    for _ in range(2):
        answer = client.post(f"{path}/complete", json=claim, headers=headers)
        assert answer.status_code == 200
        assert answer.get_json() == {"id": begun, "seq": 3, "state": "complete", "parts": 2, "works": 4}
    assert looked_up(client, 10, 11, 20, 21, 22) == ["reserved"] * 4 + ["unknown"]
    one = {"works": [{"part": 2, "ordinal": 1}]}
    gone = client.post(f"{path}/withdraw", json=one, headers=headers)
    assert gone.get_json() == {"id": begun, "seq": 4, "withdrawn": 1}
    assert looked_up(client, 20, 21) == ["reserved", "unknown"]
    back = client.delete(path, headers=headers)
    assert back.get_json() == {"id": begun, "seq": 5, "state": "withdrawn", "parts": 2, "works": 4}
    assert looked_up(client, 10, 20) == ["unknown", "unknown"]
    assert client.get(path, headers=headers).get_json()["state"] == "withdrawn"


def test_the_reservation_of_an_import_shows_its_works_page_by_page(
    client: FlaskClient, begun: str, store: Store, headers: dict[str, str], make_key: Callable[..., Any]
) -> None:
    path, shas = f"/api/v1/imports/{begun}", []
    for part, numbers in ((1, range(700)), (2, range(700, 1_500))):
        data = lines(*map(work, numbers))
        answer = client.put(f"{path}/parts/{part}", data=data, content_type=NDJSON, headers=headers)
        shas.append(answer.get_json()["sha256"])
    assert (
        client.post(f"{path}/complete", json=claim_of(begun, shas, 1_500), headers=headers).status_code == 200
    )
    gone = {"works": [{"part": 2, "ordinal": 0}]}
    assert client.post(f"{path}/withdraw", json=gone, headers=headers).status_code == 200
    with store.read() as connection:
        owner = imports.batch_of(connection, begun).principal_id  # type: ignore[union-attr]
    options: dict[str, Any] = {"evidence_level": 0, "environment": "test", "at": 0, "principal_id": owner}
    key = create_key(store, name="", scopes=frozenset({"register"}), **options)
    own = {"Authorization": f"API {key.secret}"}
    more = {"works": [work(9_999)]}
    assert client.post(f"/api/v1/reservations/{begun}/works", json=more, headers=own).status_code == 201
    assert client.get(f"/api/v1/reservations/{begun}", headers=own).get_json()["works"] == 1_500
    seen: list[dict[str, Any]] = []
    after: str | None = "0.-1"
    while after is not None:
        page = client.get(f"/api/v1/reservations/{begun}/works?after={after}", headers=own).get_json()
        seen, after = seen + page["works"], page["next"]
    wanted = [*range(700), *range(701, 1_500), 9_999]
    assert [(one["title"], one["url"], one["sha256"]) for one in seen] == [
        tuple(work(number).values()) for number in wanted
    ]
    assert client.delete(f"/api/v1/reservations/{begun}", headers=own).status_code == 200
    assert client.get(path, headers=headers).get_json()["state"] == "withdrawn"


def flat(works: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **{name: one.get(name) for name in ("title", "url", "sha256")},
            **{name: one["fingerprint"].get(name) for name in ("v", "quality", "phash")},
            **{f"pdq_{name}": value for name, value in one["fingerprint"].get("pdq", {}).items()},
        }
        for one in works
    ]


def as_csv(works: Sequence[dict[str, Any]]) -> bytes:
    rows = flat(works)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list({name: None for row in rows for name in row}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(works: Sequence[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat(works)), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("kind", "written"),
    [(NDJSON, lambda works: lines(*works)), (CSV, as_csv), (PARQUET, as_parquet)],
    ids=["ndjson", "csv", "parquet"],
)
def test_every_kind_of_body_says_the_same(
    client: FlaskClient,
    headers: dict[str, str],
    begun: str,
    picture_hash: Callable[..., bytes],
    kind: str,
    written: Callable[[Any], bytes],
) -> None:
    full, trim = picture_hash(1).hex(), picture_hash(2).hex()
    works = [
        work(1)
        | {
            "title": 'A "quoted", é\ntwo lines',
            "fingerprint": {"v": 1, "quality": 90, "phash": "0f" * 8, "pdq": {"full": full, "trim": trim}},
        },
        {"url": work(2)["url"], "fingerprint": {"v": 1, "quality": 90, "pdq": {"trim": trim}}},
        {"sha256": work(3)["sha256"], "fingerprint": {"v": 1, "quality": 10, "phash": "0f" * 8}},
    ]
    data = written(works)
    part = client.put(
        f"/api/v1/imports/{begun}/parts/1", data=data, content_type=kind, headers=headers
    ).get_json()
    assert part["exact_only"] == [2]
    claim = claim_of(begun, [part["sha256"]], 3)
    assert client.post(f"/api/v1/imports/{begun}/complete", json=claim, headers=headers).status_code == 200
    asked = [
        {"id": "whole", "fingerprint": {"v": 1, "quality": 90, "pdq": {"full": full}}},
        {"id": "trimmed", "fingerprint": {"v": 1, "quality": 90, "pdq": {"full": trim}}},
        {"id": "file", "sha256": work(3)["sha256"]},
        {"id": "phash", "fingerprint": {"v": 1, "quality": 90, "phash": "0f" * 8}},
    ]
    results = client.post("/api/v1/lookup", json={"items": asked}).get_json()["results"]
    assert [len(result["statements"]) for result in results] == [1, 2, 1, 1]
    assert [result["preference"] for result in results] == ["reserved"] * 3 + ["unknown"]


BAD = {
    "a word for a number": (CSV, b"v,quality,pdq_full\n1,high,00\n", "works.0.quality: expected a whole"),
    "another version": (CSV, b"url,v,quality\nhttps://a.org/,2,90\n", "works.0.v: expected version 1, got 2"),
    "a quality beyond": (CSV, b"url,v,quality\nhttps://a.org/,1,101\n", "works.0.quality: expected 0 to 100"),
    "a hash in capitals": (CSV, b"sha256\n" + b"AB" * 32 + b"\n", "works.0.sha256: expected 64 lower-case"),
    "a short hash": (
        NDJSON,
        lines(work(1), {"sha256": "ab"}),
        "works.1.sha256: expected 64 lower-case hex digits, got 'ab'",
    ),
    "a short window": (
        NDJSON,
        lines({"fingerprint": {"v": 1, "quality": 90, "pdq": {"full": "00"}}}),
        "works.0.fingerprint.pdq.full: expected 64",
    ),
    "an unknown window": (
        NDJSON,
        lines({"fingerprint": {"v": 1, "quality": 90, "pdq": {"mirror": "00"}}}),
        "works.0.fingerprint.pdq.mirror: is not known",
    ),
    "a plain picture alone": (
        NDJSON,
        lines({"fingerprint": {"v": 1, "quality": 3, "pdq": {"full": "00" * 32}}}),
        "works.0.fingerprint: too plain",
    ),
    "a plain picture alone, in a table": (CSV, b"v,quality\n1,3\n", "works.0.quality: too plain"),
    "every bad row": (
        CSV,
        b"url\nnothing\nhttps://a.org/\nftp://a.org/\n",
        "works.0.url: not a URL: 'nothing'; works.2.url: not an http or https URL: 'ftp://a.org/'",
    ),
    "an unknown column": (CSV, b"url,author\nhttps://a.org/,Ada\n", "the column 'author' is not known"),
    "a doubled column": (CSV, b"url,url\na,b\n", "the column 'url' stands there twice"),
    "a row too short": (CSV, b"url,title\nhttps://a.org/\n", "works.0.cells: expected 2, got 1"),
    "an open quote": (CSV, b'url\n"https://a.org/\n', "unexpected end of data"),
    "no UTF-8": (CSV, b"url\n\xff\n", "not UTF-8: byte 4"),
    "a long title": (NDJSON, lines({**work(1), "title": "a" * 201}), "works.0.title: longer than 200"),
    "a NUL": (NDJSON, lines({**work(1), "title": "\0"}), "works.0.title: the character U+0000"),
    "half a character": (NDJSON, b'{"url":"https://a.org/","title":"\\ud800"}\n', "half a character"),
    "a number for text": (NDJSON, b'{"url":5}\n', "works.0.url: expected text, got 5"),
    "an unknown member": (NDJSON, b'{"href":"https://a.org/"}\n', "works.0.href: is none of"),
    "no works": (CSV, b"url\n", "a list of no works"),
    "an empty line": (NDJSON, b"\n", "works.0.line: not JSON"),
    "no parquet": (PARQUET, b"PAR1....PAR1", "not a parquet file that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_is_refused_by_row_and_column_and_leaves_nothing(
    client: FlaskClient, headers: dict[str, str], begun: str, store: Store, name: str
) -> None:
    kind, data, told = BAD[name]
    path = f"/api/v1/imports/{begun}/parts/1"
    answer = client.put(path, data=data, content_type=kind, headers=headers)
    assert answer.status_code == 422
    assert told in answer.get_json()["detail"]
    assert store.head() == 0
    assert client.get(f"/api/v1/imports/{begun}", headers=headers).get_json()["parts"] == []


def test_a_table_of_another_type_is_refused(client: FlaskClient, headers: dict[str, str], begun: str) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"url": [1, 2]}), sink)
    answer = client.put(
        f"/api/v1/imports/{begun}/parts/1", data=sink.getvalue(), content_type=PARQUET, headers=headers
    )
    assert answer.status_code == 422
    assert "column url: expected text, got int64" in answer.get_json()["detail"]


def test_a_table_that_decodes_to_far_more_than_it_is_large_is_refused(
    client: FlaskClient, headers: dict[str, str], begun: str
) -> None:
    """A value that stands there once and is named ten thousand times."""
    value = pa.array(["https://a.org/" + "a" * 100_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000), value)
    sink = io.BytesIO()
    pq.write_table(pa.table({"url": column}), sink, compression="zstd")
    assert len(sink.getvalue()) < 100_000
    answer = client.put(
        f"/api/v1/imports/{begun}/parts/1", data=sink.getvalue(), content_type=PARQUET, headers=headers
    )
    assert answer.status_code == 413
    assert "once it is decoded" in answer.get_json()["detail"]


@pytest.mark.parametrize("kind", [NDJSON, CSV, PARQUET])
def test_too_many_works_are_refused(make_app: Callable[..., Any], headers: dict[str, str], kind: str) -> None:
    client = make_app(max_items=2).test_client()
    id_ = client.post("/api/v1/imports", json=BEGIN, headers=headers).get_json()["id"]
    works = [work(number) | {"fingerprint": {"v": 1, "quality": 3}} for number in range(3)]
    data = {NDJSON: lines(*works), CSV: as_csv(works), PARQUET: as_parquet(works)}[kind]
    answer = client.put(f"/api/v1/imports/{id_}/parts/1", data=data, content_type=kind, headers=headers)
    assert answer.status_code == 413


def test_bodies_of_other_kinds_and_of_unknown_length_are_refused(
    client: FlaskClient, headers: dict[str, str], begun: str
) -> None:
    path = f"/api/v1/imports/{begun}/parts/1"
    answer = client.put(path, data=lines(work(1)), content_type="application/json", headers=headers)
    assert answer.status_code == 415
    answer = client.put(path, content_type=NDJSON, headers=headers)
    assert answer.status_code == 422
    assert "unknown length" in answer.get_json()["detail"]
    for number in ("0", "01", "x", "-1", "10000000"):
        answer = client.put(
            f"/api/v1/imports/{begun}/parts/{number}",
            data=lines(work(1)),
            content_type=NDJSON,
            headers=headers,
        )
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", "/{}"),
        ("PUT", "/{}/parts/1"),
        ("POST", "/{}/complete"),
        ("POST", "/{}/withdraw"),
        ("DELETE", "/{}"),
    ],
)
def test_nobody_else_may_do_anything(
    client: FlaskClient,
    headers: dict[str, str],
    begun: str,
    make_key: Callable[..., Any],
    store: Store,
    method: str,
    path: str,
) -> None:
    bodies = {
        "": BEGIN,
        "/{}/complete": claim_of(begun, ["00" * 32], 1),
        "/{}/withdraw": {"works": [{"part": 1, "ordinal": 0}]},
    }
    for scopes, status in (
        (None, 401),
        (("register", "lookup", "domain:*"), 403),
        (("import:acme",), 403 if path == "" else 404),
        (("import:acme-2",), 403 if path == "" else 404),
    ):
        own = {} if scopes is None else make_key(scopes).headers
        options = (
            {"json": bodies[path]} if path in bodies else {"data": lines(work(1)), "content_type": NDJSON}
        )
        answer = client.open("/api/v1/imports" + path.format(begun), method=method, headers=own, **options)
        assert answer.status_code == status, (scopes, answer.text)
    assert store.head() == 0


def test_a_claim_that_differs_says_in_what(client: FlaskClient, headers: dict[str, str], begun: str) -> None:
    path = f"/api/v1/imports/{begun}"
    part = client.put(f"{path}/parts/1", data=lines(work(1)), content_type=NDJSON, headers=headers).get_json()
    sha = part["sha256"]
    for claim, status, told in (
        (claim_of(begun, [sha, sha], 1), 409, "missing parts: 2"),
        (claim_of(begun, [sha], 2), 409, "2 works were declared, and the parts hold 1"),
        (claim_of(begun, ["00" * 32], 1), 409, "was declared, and the parts have"),
        (claim_of(begun, [sha], 1, Signer.new("acme.example")), 403, "not signed by acme.example"),
        (claim_of("a" * 26, [sha], 1), 403, "says something else"),
        (claim_of(begun, [sha], 1) | {"digest": "x"}, 422, "digest: expected 64"),
        (claim_of(begun, [sha], 1) | {"parts": 0}, 422, "parts"),
        (claim_of(begun, [sha], 1) | {"works": True}, 422, "works"),
    ):
        answer = client.post(f"{path}/complete", json=claim, headers=headers)
        assert (answer.status_code, told in answer.get_json()["detail"]) == (status, True), answer.text
    assert looked_up(client, 1) == ["unknown"]


class TestKeys:
    def test_scopes_of_imports_are_read_strictly(self) -> None:
        assert parse_scopes(["import:acme-2"]) == {"import:acme-2"}
        for text in ("import", "import:", "import:*", "import:Acme", "import:-a", "import:a b", "import:a\n"):
            with pytest.raises(InputError, match="no scope"):
                parse_scopes([text])

    def test_a_second_key_may_bring_the_key_for_signatures(self, store: Store) -> None:
        options: dict[str, Any] = {"scopes": frozenset({"import:acme"}), "evidence_level": 1, "at": 0}
        key = create_key(store, name="Acme", environment="test", **options)
        with store.read() as connection:
            assert principals.import_key_of(connection, key.principal_id) is None
        text = SIGNER.verifier.text
        create_key(
            store, name="", environment="test", principal_id=key.principal_id, import_key=text, **options
        )
        with store.read() as connection:
            assert principals.import_key_of(connection, key.principal_id) == text
        with pytest.raises(NotFoundError):
            create_key(store, name="", environment="test", principal_id="x", import_key=text, **options)


# -- the real command ------------------------------------------------------------------------------


def on_every_worker(server: Any, numbers: Sequence[int], times: int = 8) -> list[list[str | None]]:
    """Ask on connections of their own, so that either worker may answer."""
    items = [{"id": str(number), "sha256": f"{number:032x}" * 2} for number in numbers]
    seen = []
    for _ in range(times):
        with requests.Session() as session:
            answer = session.post(f"{server.url}/api/v1/lookup", json={"items": items}, timeout=30)
            assert answer.status_code == 200
            seen.append([result["preference"] for result in answer.json()["results"]])
    return seen


def test_with_two_workers_and_a_builder_all_works_are_seen_at_once(
    served: Callable[..., Any], headers: dict[str, str]
) -> None:
    server = served(2)
    path = server.url + "/api/v1/imports"
    id_ = requests.post(path, json=BEGIN, headers=headers, timeout=30).json()["id"]
    shas, works = [], 0
    for part in range(3):
        numbers = range(10_000 * part, 10_000 * part + 10_000)
        text = "sha256\n" + "".join(f"{number:032x}" * 2 + "\n" for number in numbers)
        answer = requests.put(
            f"{path}/{id_}/parts/{part + 1}",
            data=text.encode(),
            headers={**headers, "Content-Type": CSV},
            timeout=60,
        )
        assert answer.status_code == 200
        shas.append(answer.json()["sha256"])
        works += answer.json()["works"]
        assert on_every_worker(server, [0, numbers[-1]], 2) == [["unknown", "unknown"]] * 2
    claim = claim_of(id_, shas, works)
    answers = []
    end = time.monotonic() + 60
    while not answers or answers[-1] == 202:
        assert time.monotonic() < end
        answer = requests.post(f"{path}/{id_}/complete", json=claim, headers=headers, timeout=60)
        answers.append(answer.status_code)
        if answer.status_code == 202:
            assert int(answer.headers["Retry-After"]) == answer.json()["retry_after"]
            assert on_every_worker(server, [0, 29_999], 1) == [["unknown", "unknown"]]
            time.sleep(0.2)
    assert answers[-1] == 200
    assert on_every_worker(server, [0, 12_345, 29_999, 30_000]) == [[*["reserved"] * 3, "unknown"]] * 8


CUT = {"head only": 0, "a byte": 1, "a row": 30, "all but one byte": -1}


def test_a_body_cut_off_on_the_way_leaves_nothing(
    served: Callable[..., Any], headers: dict[str, str], store: Store
) -> None:
    server = served(1)
    id_ = requests.post(f"{server.url}/api/v1/imports", json=BEGIN, headers=headers, timeout=30).json()["id"]
    data = lines(*(work(number) for number in range(100)))
    for name, sent in CUT.items():
        with closing(socket.create_connection((server.host, server.port), timeout=10)) as connection:
            head = f"PUT /api/v1/imports/{id_}/parts/1 HTTP/1.1\r\nHost: a\r\nContent-Type: {NDJSON}\r\n"
            head += f"Authorization: {headers['Authorization']}\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data[:sent])
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(65536)
            except OSError:
                answer = b""
        assert not answer.startswith(b"HTTP/1.1 200"), name
        shown = requests.get(f"{server.url}/api/v1/imports/{id_}", headers=headers, timeout=30).json()
        assert shown["parts"] == [], name
        assert store.head() == 0, name


def test_killed_between_parts_and_sent_again_is_a_clean_run(
    served: Callable[..., Any], headers: dict[str, str], store: Store
) -> None:
    """Workers are killed while parts come; whoever gets no answer sends the part again."""
    server = served(2)
    path = server.url + "/api/v1/imports"
    id_ = requests.post(path, json=BEGIN, headers=headers, timeout=30).json()["id"]
    bodies = [lines(*(work(100 * part + row) for row in range(50))) for part in range(12)]
    shas: list[str] = []
    for number, data in enumerate(bodies, 1):
        if number % 4 == 0:
            for pid in workers_of(server.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 30
        while len(shas) < number:
            assert time.monotonic() < end
            try:
                answer = requests.put(
                    f"{path}/{id_}/parts/{number}",
                    data=data,
                    headers={**headers, "Content-Type": NDJSON, "X-Try": secrets.token_hex(4)},
                    timeout=30,
                )
            except (requests.ConnectionError, http.client.HTTPException):
                continue
            assert answer.status_code == 200
            shas.append(answer.json()["sha256"])
    answer = requests.post(
        f"{path}/{id_}/complete", json=claim_of(id_, shas, 600), headers=headers, timeout=30
    )
    assert answer.status_code == 200
    assert (answer.json()["seq"], store.head()) == (13, 13)
    assert on_every_worker(server, [0, 1149, 1150], 4) == [["reserved", "reserved", "unknown"]] * 4


def workers_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"--follow" not in Path(f"/proc/{child}/cmdline").read_bytes()]
