"""The package datadiligence, as it is installed, beside the same package with our rules.

Every row of docs/explanation/other-clients.md is run, both sides. datadiligence keeps its rules in one
global, so each side puts its own there first, and the end puts back what was.
"""

import asyncio
import gc
import http.client
import json
import logging
import re
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from registry.client import RegistryClient
from registry.errors import CaveatError, InputError, RegistryUnreachableError
from registry.fetch import Fetcher
from registry.preference import Use
from registry.signals.iptc import DataMining
from registry.signals.writing.c2pa import Credential, sign
from registry.signals.writing.choice import choice
from registry.signals.writing.xmp import XmpRights, write_preferences
from tests.core.signals.certificates import credential

with pytest.MonkeyPatch.context() as patch:
    patch.delenv("SPAWNING_OPTS_KEY", raising=False)
    import datadiligence as dd
    from datadiligence.rules import Rule, SpawningAPI

from registry.client.datadiligence import WORKS, RegistryRule, WorkRule, obey

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "other-clients.md"
RESERVED = "https://images.gallery.example/a.jpg"
FREE = "https://free.example/b.jpg"
PRIVATE = replace(WORKS, private=True, total_seconds=10.0)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SPAWNING_OPTS_KEY", raising=False)
    yield
    dd.load_defaults()


# -- a server of works, and one that answers badly -------------------------------------------------


@dataclass
class Web:
    """What is served, by path: status, header lines, body; and what was asked."""

    url: str
    pages: dict[str, tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    """Addresses in each question to it as a registry."""
    manner: str = ""
    """How it answers as a registry: short, reversed, doubled, busy once, slow."""

    def rows(self, rows: list[Any]) -> list[Any]:
        changed = {"short": rows[1:], "reversed": rows[::-1], "doubled": [rows[-1], *rows]}
        return changed.get(self.manner, rows)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        self.web.seen.append(self.path)
        status, headers, body = self.web.pages.get(self.path, (404, [], b"gone"))
        self.reply(status, headers, body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.web.manner == "slow":
            time.sleep(0.8)
        if self.web.manner == "busy once":
            self.web.manner = ""
            return self.reply(503, [("Retry-After", "0")], b"{}")
        answer = self.compatible(body) if self.path.startswith("/api/v2/") else self.native(body)
        return self.reply(200, [("Content-Type", "application/json")], json.dumps(answer).encode())

    def compatible(self, body: bytes) -> Any:
        urls = body.decode().split("\n")
        self.web.asked.append(len(urls))
        rows = [{"url": url, "optOut": url == RESERVED, "optIn": False} for url in urls]
        return {"urls": self.web.rows(rows)}

    def native(self, body: bytes) -> Any:
        items = json.loads(body)["items"]
        self.web.asked.append(len(items))
        rule = {"kind": "host", "certain": True}
        said = {"preferences": {"genai-train": "reserved"}, "match": rule, "scope": "host"}
        said |= {"evidence_level": 0, "state": "asserted", "seq": 1, "at": ""}
        rows = [
            {"id": item["id"], "status": "ok", "preference": word, "reason": word, "statements": statements}
            for item in items
            for word, statements in [("reserved", [said]) if item["url"] == RESERVED else ("unknown", [])]
        ]
        return {"as_of_seq": 1, "results": self.web.rows(rows)}

    def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in [("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        return


@pytest.fixture
def web() -> Iterator[Web]:
    class Own(Handler):
        pass

    with Server(("127.0.0.1", 0), Own) as server:
        Own.web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Own.web
        server.shutdown()
        thread.join()


# -- both sides ------------------------------------------------------------------------------------


@dataclass
class Side:
    """One of the two: how it is set up to ask a registry, and its rule for addresses."""

    ours: bool
    live: Any
    monkeypatch: pytest.MonkeyPatch

    def ask(self, url: str = "", key: str = "", seconds: float = 10.0) -> Any:
        """Set it up to ask the registry at ``url``, the live one without; return its rule for addresses."""
        url = url or self.live.url
        if self.ours:
            obey(RegistryClient(url, key or None, timeout=seconds, retries=1), fetcher=Fetcher(PRIVATE))
            return dd.get_evaluator("preprocess").rules[0]
        self.monkeypatch.setattr(SpawningAPI, "SPAWNING_AI_API_URL", f"{url}/api/v2/query/urls/")
        if key:
            self.monkeypatch.setenv("SPAWNING_OPTS_KEY", key)
        dd.load_defaults()
        rule = SpawningAPI(timeout=seconds)
        dd.get_evaluator("preprocess").rules[:] = [rule]
        return rule


def word(allowed: object) -> str:
    assert isinstance(allowed, bool)
    return "allowed" if allowed else "not allowed"


def result(call: Callable[[], object], *, collect: bool = False) -> str:
    """What a call comes to, as the page has it."""
    with warnings.catch_warnings():
        # A warning that is an error here would be one that datadiligence takes for allowed. It leaves files
        # open, of which Python warns as they are collected: here, unless a record of the log holds them.
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            told = call()
        except Exception as error:  # noqa: BLE001 - whatever it raises is what is shown
            return f"raises {type(error).__name__}"
        finally:
            logging.disable(logging.NOTSET)
            if collect:
                gc.collect()
    return word(told) if isinstance(told, bool) else str(told)


# -- the rows of the page --------------------------------------------------------------------------

NOAI = ("X-Robots-Tag", "noai")
HEADERS: dict[str, Any] = {
    "`X-Robots-Tag: noai`": {"X-Robots-Tag": "noai"},
    "`X-Robots-Tag: NoAI`": {"X-Robots-Tag": "NoAI"},
    "`x-robots-tag: noai` in a dict, the name in lower case": {"x-robots-tag": "noai"},
    "`X-Robots-Tag: *: noai`": {"X-Robots-Tag": "*: noai"},
    "`X-Robots-Tag: noml`": {"X-Robots-Tag": "noml"},
    "two lines in a list of pairs, `X-Robots-Tag: noai` and `X-Robots-Tag: nosnippet`": [
        NOAI,
        ("X-Robots-Tag", "nosnippet"),
    ],
    "`Content-Usage: train-ai=n`": {"Content-Usage": "train-ai=n"},
    "`tdm-reservation: 1`": {"tdm-reservation": "1"},
    "`tdm-reservation: 1, 1`, two lines that were merged": {"tdm-reservation": "1, 1"},
    "`tdm-reservation: true`": {"tdm-reservation": "true"},
    "`X-Robots-Tag: otherbot: noindex, noai`, which speaks to another": {
        "X-Robots-Tag": "otherbot: noindex, noai"
    },
    "no header at all, `{}`, where nothing is reserved": {},
}


def rows_of_page() -> dict[str, dict[str, tuple[str, str]]]:
    """Heading → what was given → what each side answers."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
        found[part.splitlines()[0]] = {given: (theirs, ours) for given, theirs, ours in cells}
    return found


ROWS = rows_of_page()


@pytest.fixture(params=["theirs", "ours"])
def side(request: pytest.FixtureRequest, live: Any, monkeypatch: pytest.MonkeyPatch) -> Side:
    return Side(request.param == "ours", live, monkeypatch)


@pytest.mark.parametrize("given", HEADERS)
def test_header_fields(given: str, side: Side) -> None:
    side.ask()
    assert result(lambda: dd.is_allowed(headers=HEADERS[given])) == ROWS["Header fields"][given][side.ours]


def test_a_member_after_one_with_a_value_is_read_by_both(side: Side) -> None:
    side.ask()
    assert result(lambda: dd.is_allowed(headers={"X-Robots-Tag": "max-snippet: 5, noai"})) == "not allowed"


@pytest.fixture(scope="module")
def works(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from registry.demo.training_set import PICTURES

    plain = kit.free(31)
    issued = credential()
    signer = Credential(issued.chain, issued.key)
    reserved = sign(plain, "image/png", choice(), signer)
    on_terms = choice(condition=[Use.GENAI_TRAIN], terms="https://ada.example/licence")
    at = reserved.rindex(b"training-mining")
    marked = XmpRights(DataMining.PROHIBITED_GENAI_TRAINING)
    contents = {
        "a picture in which nothing is said": plain,
        "a C2PA manifest with `cawg.training-mining`: `notAllowed`": reserved,
        "a C2PA manifest with `cawg.training-mining`: `constrained`": sign(
            plain, "image/png", on_terms, signer
        ),
        "such a manifest, damaged": reserved[:at] + b"T" + reserved[at + 1 :],
        "IPTC's Data Mining property: no generative AI training": write_preferences(plain, marked),
        "a file that is a registered picture, under another name": (
            PICTURES / "ada/sunflower.jpg"
        ).read_bytes(),
        "a file that is no picture": b"a text",
    }
    folder = tmp_path_factory.mktemp("works")
    paths = {given: folder / f"{number}.png" for number, given in enumerate(contents)}
    for given, path in paths.items():
        path.write_bytes(contents[given])
    return paths


@pytest.mark.parametrize("given", ROWS["Files"])
def test_files(given: str, side: Side, works: dict[str, Path]) -> None:
    side.ask()
    path = works[given]
    told = result(lambda: dd.is_allowed(path=str(path)), collect=not side.ours)
    assert told == ROWS["Files"][given][side.ours]


@pytest.mark.parametrize("given", ROWS["Files"])
def test_a_body_is_looked_at_like_a_file(given: str, live: Any, works: dict[str, Path]) -> None:
    obey(live.client(), fetcher=Fetcher(PRIVATE))
    told = result(lambda: dd.is_allowed(headers={}, body=works[given].read_bytes()))
    assert told == ROWS["Files"][given][1]


def among(urls: list[str], allowed: list[bool]) -> bool:
    """What the caller takes the answer about the reserved one to be, place by place."""
    return dict(zip(urls, allowed, strict=False))[RESERVED]


def asked(side: Side, urls: list[str]) -> Callable[[], bool]:
    return lambda: among(urls, dd.is_allowed(urls=urls))


TWO_LINES = "https://free.example/a\nhttps://free.example/b"
MANNERS = {
    "an answer that leaves out a row": "short",
    "an answer in another order": "reversed",
    "an answer in which a row stands twice": "doubled",
    "an answer 503 once, which asks to try again": "busy once",
}


@pytest.mark.parametrize("given", ROWS["Asking a registry"])
def test_asking_a_registry(given: str, side: Side, web: Web) -> None:
    web.manner = MANNERS.get(given, "slow" if "hangs" in given else "")
    seconds = 0.2 if "hangs" in given else 10.0
    if web.manner:
        rule = side.ask(web.url, "key", seconds)
    else:
        rule = side.ask(key="" if "no key" in given else side.live.keys["maker"])
    if "no key" in given and not side.ours:
        assert not rule.is_ready()
    urls = [RESERVED, FREE]
    call = asked(side, urls)
    if "line end" in given:
        call = asked(side, [TWO_LINES, RESERVED])
    if "is_allowed_async" in given:
        call = lambda: among(urls, asyncio.run(rule.is_allowed_async(urls=urls)))  # noqa: E731
    assert result(call) == ROWS["Asking a registry"][given][side.ours]


def test_an_address_that_is_not_there(side: Side, web: Web) -> None:
    side.ask()
    [given] = [row for row in ROWS["Calls"] if "404" in row]
    assert result(lambda: dd.is_allowed(url=f"{web.url}/gone")) == ROWS["Calls"][given][side.ours]


def test_a_work_is_fetched_once(side: Side, web: Web, kit: Any) -> None:
    web.pages["/a.png"] = (200, [("Content-Type", "image/png")], kit.free(32))
    side.ask()
    assert result(lambda: dd.is_allowed(url=f"{web.url}/a.png")) == "allowed"
    [given] = [row for row in ROWS["Calls"] if "downloads" in row]
    assert str(len(web.seen)) == ROWS["Calls"][given][side.ours]


def test_an_address_is_asked_about_once(side: Side, web: Web) -> None:
    side.ask(web.url, "key")
    assert dd.filter_allowed(urls=[FREE, FREE]) == [FREE, FREE]
    [given] = [row for row in ROWS["Calls"] if "twice" in row]
    assert str(sum(web.asked)) == ROWS["Calls"][given][side.ours]


def test_every_row_of_the_page_is_run() -> None:
    assert set(ROWS["Header fields"]) == set(HEADERS)
    assert len(ROWS["Calls"]) == 3
    assert set(MANNERS) <= set(ROWS["Asking a registry"])


# -- our rules by themselves -----------------------------------------------------------------------


@pytest.fixture
def obeying(live: Any) -> None:
    obey(live.client(), fetcher=Fetcher(PRIVATE))


@pytest.mark.usefixtures("obeying")
def test_a_list_is_answered_in_its_order_with_its_repetitions() -> None:
    urls = [FREE, RESERVED, FREE, "no url", "", f"http://{RESERVED.partition('//')[2]}?utm_source=x"]
    allowed = [True, False, True, False, False, False]
    assert dd.is_allowed(urls=urls) == allowed
    assert dd.filter_allowed(urls=urls) == [FREE, FREE]
    rule = dd.get_evaluator("preprocess").rules[0]
    assert asyncio.run(rule.is_allowed_async(urls=urls)) == allowed
    assert asyncio.run(rule.filter_allowed_async(url=FREE)) == [FREE]
    assert dd.is_allowed(urls=[]) == []


@pytest.mark.usefixtures("obeying")
def test_an_address_counts_beside_headers_and_body(kit: Any) -> None:
    assert dd.is_allowed(url=RESERVED, headers={}) is False
    assert dd.is_allowed(url=FREE, headers={}, body=kit.free(33)) is True
    assert dd.is_allowed(url="no url", headers={}) is False


def answers(web: Web, path: str) -> Iterator[Any]:
    yield requests.get(f"{web.url}{path}", timeout=5)
    with urllib.request.urlopen(f"{web.url}{path}", timeout=5) as answer:  # noqa: S310 - our own server
        assert isinstance(answer, http.client.HTTPResponse)
        yield answer


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        pytest.param([], True, id="nothing said"),
        pytest.param([NOAI, ("X-Robots-Tag", "nosnippet")], False, id="two lines"),
        pytest.param([("X-Robots-Tag", "otherbot: noindex"), NOAI], False, id="a line after another's"),
        pytest.param([("Content-Usage", "search=y"), ("Content-Usage", "train-ai=n")], False, id="a list"),
        pytest.param([("Link", '</l.xml>; rel="license"; type="application/rsl+xml"')], False, id="RSL"),
        pytest.param(
            [("Link", '</no.xml>; rel="license"; type="application/rsl+xml"')], False, id="RSL gone"
        ),
    ],
)
@pytest.mark.usefixtures("obeying")
def test_an_answer_of_requests_and_of_urllib(
    headers: list[tuple[str, str]], allowed: bool, web: Web, kit: Any
) -> None:
    licence = b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license><prohibits type="usage">'
    web.pages["/l.xml"] = (200, [], licence + b"ai-train</prohibits></license></content></rsl>")
    web.pages["/a.png"] = (200, headers, kit.free(34))
    for answer in answers(web, "/a.png"):
        assert dd.is_allowed(response=answer) is allowed


@pytest.mark.usefixtures("obeying")
def test_of_many_licences_a_few_are_fetched_and_the_work_is_not_allowed(web: Web, kit: Any) -> None:
    links = ", ".join(f'</{n}.xml>; rel="license"; type="application/rsl+xml"' for n in range(50))
    for number in range(50):
        web.pages[f"/{number}.xml"] = (200, [], b'<rsl xmlns="https://rslstandard.org/rsl"/>')
    headers = {"Link": links}
    assert dd.is_allowed(url=f"{web.url}/a.png", headers=headers, body=kit.free(34)) is False
    assert len([path for path in web.seen if path.endswith(".xml")]) == 5


@pytest.mark.usefixtures("obeying")
def test_an_answer_that_brought_no_work_is_not_allowed(web: Web) -> None:
    assert dd.is_allowed(response=requests.get(f"{web.url}/gone", timeout=5)) is False


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"headers": "X-Robots-Tag: noai"}, "headers that are none", id="headers as a text"),
        pytest.param({"headers": {"X-Robots-Tag": None}}, "no text", id="a header that is no text"),
        pytest.param({"response": object()}, "no answer that is known", id="another library's answer"),
        pytest.param({"headers": {}, "body": "text"}, "no bytes", id="a body that is a text"),
        pytest.param({"url": None}, "nothing to look at", id="nothing"),
        pytest.param({"url": 7}, "no text", id="a number"),
        pytest.param({"urls": [FREE, None]}, "no text", id="a list with nothing in it"),
        pytest.param({"urls": FREE}, "one text where a list", id="a text for a list"),
    ],
)
@pytest.mark.usefixtures("obeying")
def test_a_call_that_cannot_be_answered_raises(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        dd.is_allowed(**given)


def test_a_registry_out_of_reach_raises_and_allows_nothing(kit: Any) -> None:
    obey(RegistryClient("http://127.0.0.1:9", timeout=1, retries=0), fetcher=Fetcher(PRIVATE))
    for given in ({"urls": [FREE]}, {"url": FREE, "headers": {}}, {"headers": {}, "body": kit.free(35)}):
        with pytest.raises(RegistryUnreachableError):
            dd.is_allowed(**given)
    with pytest.raises(CaveatError):
        dd.filter_allowed(urls=[FREE])


@pytest.mark.usefixtures("obeying")
def test_why_one_is_not_allowed_stands_in_the_log(
    works: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "caveat.datadiligence"):
        dd.is_allowed(path=str(works["a file that is no picture"]))
        dd.is_allowed(path=str(works["such a manifest, damaged"]))
        dd.is_allowed(path="missing.png")
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "not allowed, since it cannot be known"
    ] * 3


def test_an_address_that_is_not_public_is_not_called(live: Any, web: Web) -> None:
    web.pages["/a.png"] = (200, [], b"")
    obey(live.client())
    assert dd.is_allowed(url=f"{web.url}/a.png") is False
    assert web.seen == []


def test_own_rules_stay_and_ours_stand_there_once(live: Any) -> None:
    class Never(Rule):  # type: ignore[misc]
        def is_allowed(self, **_: Any) -> bool:
            return False

        def is_ready(self) -> bool:
            return True

    dd.get_evaluator("postprocess").add_rule(Never())
    obey(live.url, live.keys["maker"])
    obey(live.url, live.keys["maker"])
    kinds = {name: [type(one) for one in dd.get_evaluator(name).rules] for name in dd.list_evaluators()}
    assert kinds == {"preprocess": [RegistryRule], "postprocess": [Never, WorkRule], "file": [WorkRule]}


def test_nothing_else_imports_datadiligence() -> None:
    check = "assert not [name for name in sys.modules if 'datadiligence' in name]"
    code = f"import sys, registry, registry.client, registry.cli; {check}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
