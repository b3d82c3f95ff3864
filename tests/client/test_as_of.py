"""``caveat check --as-of``: what a registry knew on a day, with the state that shows it."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from api.settings import Settings
from registry.client.http import RegistryClient
from registry.client.log_memory import LogMemory, look, visit
from registry.client.past import Moment, PastRegistry, moment_of
from registry.errors import InputError, ProofError, RegistryAnswerError
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Use
from registry.publisher import Publisher
from registry.store import Store
from tests.api.receipts import Clock, timed

BEGIN = 1_730_635_200  # 2024-11-03 12:00 UTC
DAY = 86_400
URL, OTHER, GONE = (f"https://ada.test/{name}.jpg" for name in ("one", "two", "gone"))


@pytest.fixture
def past(
    make_app: Callable[..., Any],
    make_key: Callable[..., Any],
    store: Store,
    database_url: str,
    tmp_path: Path,
    threaded: Callable[..., str],
) -> str:
    """On the 3rd one work was lodged, on the 4th a second, on the 5th the first was withdrawn.

    On the 6th a third one came, which was erased on the 7th. All of it is published.
    """
    signer, folder, clock = Signer.new("log.example"), LogFolder(tmp_path / "log"), Clock(BEGIN)
    folder.write_signer(signer)
    headers = make_key(("register",)).headers
    with timed(make_app, Settings(database=database_url, log=folder.path), clock) as client:

        def lodge(url: str) -> str:
            draft = {"preferences": {"genai-train": "reserved"}, "works": [{"url": url}]}
            return str(client.post("/api/v1/reservations", json=draft, headers=headers).get_json()["id"])

        first = lodge(URL)
        clock.seconds += DAY
        lodge(OTHER)
        clock.seconds += DAY
        client.delete(f"/api/v1/reservations/{first}", headers=headers)
        clock.seconds += DAY
        gone = lodge(GONE)
        clock.seconds += DAY
        client.post(f"/api/v1/reservations/{gone}/erase", json={"keep": False}, headers=headers)
    Publisher(store, folder, signer).publish()
    return threaded(database_url, CAVEAT_LOG=str(folder.path))


@pytest.fixture
def ask(caveat: Any, past: str) -> "Run":
    """The command, asking that registry, with a home of its own."""
    return lambda *words: caveat(*words, "--registry", past)


Run = Callable[..., subprocess.CompletedProcess[str]]


def answers(run: Run, as_of: str, *targets: str) -> tuple[dict[str, Any], list[str | None], int]:
    done = run("check", *targets, "--as-of", as_of, "--output", "json")
    told = json.loads(done.stdout)
    [moment] = told["as_of"]
    return moment, [verdict.get("preference") for verdict in told["verdicts"]], done.returncode


def test_each_day_has_its_answer_and_the_state_that_shows_it(ask: Run, past: str) -> None:
    first = ask("check", URL, "--as-of", "2024-11-03")
    assert first.returncode == 1
    assert "reserved" in first.stdout
    assert (
        f"as of 2024-11-03T23:59:59Z: event 1 of {past} (2024-11-03T12:00:00Z; the next came" in first.stdout
    )
    assert "not checked: the key of log.example is not known here" in first.stdout
    assert ask("log", "verify").returncode == 0
    days = {
        "2024-11-03": (1, ["reserved", "unknown"], 1),
        "2024-11-04": (2, ["reserved", "reserved"], 1),
        "2024-11-05": (3, ["unknown", "reserved"], 1),
        "2024-11-06T13:00Z": (4, [None, "reserved"], 2),
        "2024-11-08": (5, ["unknown", "reserved"], 1),
    }
    for day, (seq, expected, code) in days.items():
        moment, told, returned = answers(ask, day, URL, OTHER)
        assert (moment["as_of_seq"], told, returned) == (seq, expected, code), day
        assert moment["shown"] == ("exactly" if seq == 5 else "by a later state")
    second = ask("check", URL, "--as-of", "2024-11-04")
    assert "no state signed then is kept; log.example, 2 events, root" in second.stdout
    assert "is the beginning of the 5 signed since" in second.stdout


def test_what_was_erased_since_is_never_unknown(ask: Run) -> None:
    done = ask("check", GONE, "--as-of", "2024-11-06")
    assert done.returncode == 2
    assert "1 record that stood then was erased since" in " ".join(done.stdout.split())
    assert "unknown" not in done.stdout
    assert "1 record that stood then cannot be read any more" in done.stdout
    # Before it was lodged, and after it was gone, nothing of it could be known.
    assert answers(ask, "2024-11-05", GONE)[1] == ["unknown"]
    assert answers(ask, "2024-11-07", GONE)[1] == ["unknown"]


REFUSED = {
    "before the first event": (
        ["--as-of", "2024-11-02"],
        "no event by then; its first is of 2024-11-03T12:00:00Z",
    ),
    "yet to come": (["--as-of", "2999-01-01"], "is yet to come"),
    "no time": (["--as-of", "yesterday"], "neither a day nor a time"),
    "keys alone": (["--as-of", "2024-11-03", "--private"], "only a registry itself knows"),
    "the sites": (["--as-of", "2024-11-03", "--site-signals"], "only a registry itself knows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_no_answer(ask: Run, case: str) -> None:
    options, told = REFUSED[case]
    done = ask("check", URL, *options)
    assert (done.returncode, done.stdout) == (3, "")
    assert told in done.stderr


def test_what_a_file_says_today_is_not_what_was_known_then(ask: Run, tmp_path: Path) -> None:
    place = tmp_path / "said.png"
    picture = Image.effect_noise((64, 64), 90)
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" '
        'plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/></rdf:RDF></x:xmpmeta>'
    )
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    picture.save(place, pnginfo=info)
    assert ask("check", str(place)).returncode == 1
    assert answers(ask, "2024-11-04", str(place))[1:] == (["unknown"], 0)


# -- what a registry shows of it is held to its own log --------------------------------------------


@pytest.fixture
def moment(past: str) -> Moment:
    return moment_of(RegistryClient(past), "2024-11-04")


FORGERIES: dict[str, dict[str, Any]] = {
    "another root": {"root": bytes(32)},
    "another event": {"as_of_seq": 1},
    "another proof": {"proof": (bytes(32),)},
    "no proof": {"proof": ()},
    "no root": {"root": None},
    "no signed state": {"note": None},
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_state_that_is_not_the_log_s_is_refused(
    moment: Moment, past: str, case: str, tmp_path: Path
) -> None:
    found, _ = visit(look(RegistryClient(past)), LogMemory(tmp_path / "kept"), None)
    assert moment.check(found.kept.keys).size == 5
    with pytest.raises(ProofError):
        replace(moment, **FORGERIES[case]).check(found.kept.keys)


def test_the_key_of_another_log_shows_nothing(moment: Moment) -> None:
    with pytest.raises(ProofError, match="not signed"):
        moment.check([Signer.new("log.example").verifier])


def test_grants_and_marks_are_of_now(moment: Moment, past: str) -> None:
    registry = PastRegistry(RegistryClient(past), moment)
    with pytest.raises(InputError):
        registry.lookup([], Use.GENAI_TRAIN, grants=["x"])
    with pytest.raises(InputError):
        registry.mark([])  # type: ignore[arg-type]


WRONG = {
    "nothing": {},
    "no number": {"as_of_seq": "2"},
    "truth": {"as_of_seq": True},
    "event 0": {"as_of_seq": 0},
    "fewer than none erased": {"erased_since": -1},
    "a root that is no digits": {"root": "zz"},
    "a proof that is no list": {"proof": 5},
    "no text": {"at": 5},
}


@pytest.fixture
def lying() -> Iterator[tuple[str, dict[str, Any]]]:
    """A registry that answers what a test puts into the dictionary."""
    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", told
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_of_another_form_is_refused(
    moment: Moment, lying: tuple[str, dict[str, Any]], case: str
) -> None:
    url, told = lying
    wire = moment.to_wire()
    told.update(wire)
    assert moment_of(RegistryClient(url), "2024-11-04").as_of_seq == 2
    told.update(WRONG[case])
    if not WRONG[case]:
        told.clear()
    with pytest.raises(RegistryAnswerError):
        moment_of(RegistryClient(url), "2024-11-04")
