"""Batches of Arrow: the rows that stay are those that a look-up of each would keep, in every mode."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.client import Asked, RegistryClient, Rules
from registry.client.arrow_rows import judge_batch, key_lists, mark_batch
from registry.decision import decide
from registry.errors import (
    DatasetError,
    InputError,
    InvalidUrlError,
    RegistryAnswerError,
    RegistryRefusedError,
    RegistryUnreachableError,
)
from registry.preference import Action, Mode, Status
from registry.urls import RuleKind, candidate_keys, canonicalize_url, url_rule

from .conftest import DOMAIN

HERS, FREE = f"https://{DOMAIN}/1.jpg", "https://free.example/1.jpg"
URLS = [HERS, FREE, "nothing", "", None, f"http://WWW.img.{DOMAIN}:80/x?utm_source=a", "https://é.example/"]
STAYS = [False, True, False, False, False, False, True]
RESEARCH = Rules(mode=Mode.RESEARCH_ART3, organisation="a", purpose="b")

KINDS = {
    "text": pa.array(URLS),
    "large text": pa.array(URLS, pa.large_string()),
    "text by view": pa.array(URLS, pa.string_view()),
    "dictionary": pa.array(URLS).dictionary_encode(),
}


@pytest.fixture
def client(live, client_of):
    return client_of(live.url)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["batch", "table", "chunks"])
def test_reserved_rows_and_those_that_cannot_be_checked_go(client, kind, form):
    batch = pa.record_batch({"n": list(range(len(URLS))), "url": KINDS[kind]})
    given = {
        "batch": batch,
        "table": pa.table(batch),
        "chunks": pa.Table.from_batches([batch.slice(0, 2), batch.slice(2)]),
    }[form]
    stays = mark_batch(given, [client])
    assert stays.dtype == np.bool_
    assert stays.tolist() == STAYS
    # Arrow itself cannot filter texts by view yet.
    assert given.select(["n"]).filter(pa.array(stays)).column("n").to_pylist() == [1, 6]


@pytest.mark.parametrize(
    ("rules", "stays"),
    [
        (Rules(), STAYS),
        (Rules(mode=Mode.STRICT), [False] * len(URLS)),
        (RESEARCH, [True, True, False, False, False, True, True]),
    ],
    ids=["eu-art4", "strict", "research"],
)
def test_the_mode_decides_and_no_mode_keeps_an_error(client, rules, stays):
    judged = judge_batch(pa.table({"url": URLS}), [client], rules)
    assert judged.kept.tolist() == stays
    assert [reason is None for reason in judged.reasons()] == stays
    assert judged.tally.samples == len(URLS)
    assert judged.tally.kept == sum(stays)
    assert judged.tally.errors == 3


def test_the_reasons_say_who_and_what_is_wrong(client):
    judged = judge_batch(pa.table({"url": URLS}), [client])
    reasons = judged.reasons()
    assert reasons[0].startswith("Reserved for genai-train")
    assert reasons[2] == "not a URL: 'nothing'"
    assert reasons[3] == reasons[4] == "the row has no URL"
    assert judged.verdicts[0].decision.matched_by == "domain"
    assert judged.verdicts[2].action is Action.ERROR
    assert judged.tally.as_of_seq.keys() == {client.url}
    strict = judge_batch(pa.table({"url": [FREE]}), [client], Rules(mode=Mode.STRICT))
    assert "Nobody has said" in strict.reasons()[0] or "unknown" in strict.reasons()[0].lower()


def test_a_row_goes_by_any_of_its_addresses(client):
    table = pa.table({"url": [FREE, FREE, HERS, None, None], "src": [HERS, None, FREE, FREE, None]})
    stays = mark_batch(table, [client], column=["url", "src"])
    assert stays.tolist() == [False, True, False, True, False]


def test_no_row_asks_nobody(client_of):
    nowhere = client_of("http://127.0.0.1:9")
    assert mark_batch(pa.table({"url": pa.array([], pa.string())}), [nowhere]).tolist() == []


WRONG = {
    "no registry": ({"url": [FREE]}, "url", [], InputError, "no registry to ask"),
    "no such column": ({"URL": [FREE]}, "url", None, DatasetError, "0 columns are named 'url'.* 'URL'"),
    "numbers": ({"url": [1, 2]}, "url", None, DatasetError, "holds int64, not texts"),
    "bytes": ({"url": [b"a"]}, "url", None, DatasetError, "holds binary, not texts"),
    "no column": ({"url": [FREE]}, [], None, InputError, "no column"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_asked_is_an_error_by_name(client, name):
    columns, column, registries, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        mark_batch(pa.table(columns), [client] if registries is None else registries, column=column)


def test_two_columns_of_one_name_are_refused(client):
    table = pa.Table.from_arrays([pa.array([FREE]), pa.array([HERS])], ["url", "url"])
    with pytest.raises(DatasetError, match="2 columns are named 'url'"):
        mark_batch(table, [client])


def test_registries_that_do_not_answer_let_nothing_through(live, client_of, fake):
    table = pa.table({"url": [FREE]})
    with pytest.raises(RegistryUnreachableError):
        mark_batch(table, [client_of("http://127.0.0.1:9")])
    with pytest.raises(RegistryUnreachableError):
        mark_batch(table, [client_of(live.url), client_of("http://127.0.0.1:9")])
    # Answers look-ups, and its marks are none.
    with pytest.raises((RegistryRefusedError, RegistryAnswerError, RegistryUnreachableError)):
        mark_batch(table, [client_of(fake().url)])


def test_several_registries_and_the_most_restrictive_word_counts(client, client_of, live):
    again = client_of(live.url.replace("127.0.0.1", "localhost"))
    judged = judge_batch(pa.table({"url": URLS}), [client, again])
    assert judged.kept.tolist() == STAYS
    assert judged.tally.as_of_seq.keys() == {client.url, again.url}


def test_the_registries_go_to_other_processes(client):
    registries = pickle.loads(pickle.dumps([client]))  # noqa: S301 - made a line before
    assert mark_batch(pa.table({"url": URLS}), registries).tolist() == STAYS
    assert isinstance(registries[0], RegistryClient)


PLACES = st.sampled_from(
    [f"{scheme}://{host}{path}" for scheme in ("http", "https")
     for host in (DOMAIN, f"a.{DOMAIN}", f"not{DOMAIN}", "free.example")
     for path in ("/", "/a/b.jpg?x=1")]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(st.one_of(PLACES, st.none(), st.text(max_size=5)), max_size=8), st.sampled_from([*Mode]))
def test_a_row_stays_if_and_only_if_a_look_up_of_it_would_keep_it(client, urls, mode):
    rules = RESEARCH if mode is Mode.RESEARCH_ART3 else Rules(mode=mode)
    stays = mark_batch(pa.table({"url": pa.array(urls, pa.string())}), [client], rules)
    known = client.lookup([Asked(url or "") for url in urls], rules.use)
    wanted = [
        one.status is Status.OK and decide(one.statements, rules.use, mode).action.stays for one in known
    ]
    assert stays.tolist() == wanted


# Keys for joins.


@given(st.lists(st.one_of(PLACES, st.none(), st.text(max_size=5)), max_size=8))
def test_keys_are_those_of_every_rule_that_covers_a_url_and_what_is_none_is_null(urls):
    for given_, keys in zip(urls, key_lists(pa.array(urls, pa.string())).to_pylist(), strict=True):
        try:
            url = canonicalize_url(given_ or "")
        except InvalidUrlError:
            assert keys is None
        else:
            assert keys == [key for _, key in candidate_keys(url)]


def test_a_key_is_that_of_the_rule():
    [keys] = key_lists(pa.chunked_array([[f"https://img.{DOMAIN}/a/b.jpg"]])).to_pylist()
    assert keys[0] == url_rule(RuleKind.EXACT, f"https://img.{DOMAIN}/a/b.jpg").key
    assert keys[-1] == url_rule(RuleKind.DOMAIN, DOMAIN).key
    assert key_lists(pa.array([], pa.string())).to_pylist() == []
