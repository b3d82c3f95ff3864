"""``caveat erase``: it says what goes, asks, and destroys what was meant and nothing else."""

import os
import pty
import sqlite3

import pytest

from registry.client import Asked
from registry.errors import RegistryAnswerError, RegistryRefusedError
from registry.preference import Preference, Use

URL = "https://erase.example/{}.jpg"


@pytest.fixture
def at(live):
    return ("--registry", live.url, "--key", live.keys["ada"])


@pytest.fixture
def lodged(live, request):
    """A reservation with a name, two works and a rule; its addresses are of this test alone."""
    name = request.node.name.replace("[", "-").rstrip("]")
    urls = [URL.format(f"{name}-{n}") for n in range(3)]
    with live.client("ada") as client:
        works = [{"title": f"Secret {name} {n}", "url": urls[n]} for n in range(2)]
        id_ = client.register(
            {
                "preferences": {str(Use.GENAI_TRAIN): "reserved"},
                "label": "Ada of the test",
                "works": works,
                "rules": [{"kind": "exact", "value": urls[2]}],
            }
        )["id"]
    return id_, urls, f"Secret {name}"


def known(live, urls):
    with live.client() as client:
        answers = client.lookup([Asked(url=url) for url in urls], Use.GENAI_TRAIN)
    return [[(s.preferences[Use.GENAI_TRAIN], s.label, s.title) for s in one.statements] for one in answers]


def titles(live):
    with sqlite3.connect(live.data / "registry.sqlite") as database:
        return {title for (title,) in database.execute("SELECT title FROM work")}


def test_all_of_it_goes(caveat, at, live, lodged):
    id_, urls, secret = lodged
    assert f"{secret} 0" in titles(live)
    done = caveat("erase", id_, "--yes", *at)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"erased at {live.url}, event ")
    assert known(live, urls) == [[], [], []]
    assert not any(title.startswith(secret) for title in titles(live))
    again = caveat("erase", id_, "--yes", *at)
    assert (again.returncode, "404" in again.stderr) == (3, True)


def test_with_keep_works_and_addresses_stay_and_names_go(caveat, at, live, lodged):
    id_, urls, secret = lodged
    done = caveat("erase", id_, "--keep", "--yes", *at)
    assert done.returncode == 0
    assert "still reserved, without names: 2 works, 1 address rule" in done.stdout
    assert known(live, urls) == [[(Preference.RESERVED, "", "")]] * 3
    assert not any(title.startswith(secret) for title in titles(live))
    with live.client("ada") as client:
        assert [event["op"] for event in client.show(id_)["history"]] == ["register", "erase"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_asks_and_obeys(started, at, live, lodged, answer):
    id_, urls, _ = lodged
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = started("erase", id_, *at, stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert f"{id_}: 2 works, 1 address rule, “Ada of the test”" in done.stderr
    for phrase in ("All of it is destroyed", "cannot be undone", "What stays: entries of the log", "Go on?"):
        assert phrase in done.stderr
    assert done.returncode == (0 if answer == "y" else 4)
    assert bool(known(live, urls)[0]) == (answer == "n")


def test_without_a_terminal_it_wants_to_be_told(caveat, at, live, lodged):
    id_, urls, _ = lodged
    done = caveat("erase", id_, *at)
    assert done.returncode == 3
    assert "Give --yes" in done.stderr
    assert known(live, urls)[0]


def test_what_belongs_to_others_stays(caveat, live, lodged):
    id_, urls, _ = lodged
    done = caveat("erase", id_, "--yes", "--registry", live.url, "--key", live.keys["ben"])
    assert (done.returncode, "404" in done.stderr) == (3, True)
    assert known(live, urls)[0]


def test_an_identifier_is_one_part_of_the_path(live):
    """Nothing that is given for one leads to another route."""
    with live.client("ada") as client:
        for wrong in ("../log/keys", "a/works", "a?b", "%2e%2e", ""):
            with pytest.raises(RegistryRefusedError, match=r"\((404|405)\)"):
                client.erase(wrong)


PAGES = {
    "no works": {"works": None, "next": None},
    "a number to go on": {"works": [{}], "next": 7},
    "an empty page that goes on": {"works": [], "next": "1.1"},
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_of_works_that_is_none_is_an_error(fake, client_of, page):
    registry = fake(lambda _: (200, page, {}))
    with pytest.raises(RegistryAnswerError):
        list(client_of(registry.url).works("a"))


def test_pages_that_go_round_end(fake, client_of):
    registry = fake(lambda _: (200, {"works": [{"work": "1.1"}], "next": "1.1"}, {}))
    with pytest.raises(RegistryAnswerError, match="leads nowhere"):
        list(client_of(registry.url).works("a"))


def test_pages_are_asked_for_to_the_end(fake, client_of):
    pages = [{"works": [{"work": "1.0"}], "next": "1.0"}, {"works": [{"work": "1.1"}], "next": None}]
    registry = fake(*[lambda _, page=page: (200, page, {}) for page in pages])
    assert [work["work"] for work in client_of(registry.url).works("a")] == ["1.0", "1.1"]
    assert [path for _, path, _ in registry.seen] == [
        "/api/v1/reservations/a/works",
        "/api/v1/reservations/a/works?after=1.0",
    ]


def test_what_is_no_reservation_is_an_error(fake, client_of):
    registry = fake(lambda _: (200, {"id": "a", "works": "2"}, {}))
    with pytest.raises(RegistryAnswerError):
        client_of(registry.url).show("a")
